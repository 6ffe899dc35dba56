"""A real Ray cluster of two nodes on this machine, a core each."""

import os
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from pipeline.common import cluster

ROOT = Path(__file__).parents[1]


@pytest.fixture
def nodes(monkeypatch):
    """The cluster, which `engine.mapped` uses meanwhile, and the node that may be killed."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    other = made.add_node(num_cpus=1)
    monkeypatch.setenv(cluster.ADDRESS, made.address)
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)  # of what its processes import
    yield made, other
    import ray

    ray.shutdown()
    made.shutdown()


def is_at_work(node) -> bool:
    """Whether a process of the node has a piece in hand: Ray writes in its title what it does."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    titles = []
    for child in raylet.children():
        with suppress(psutil.Error):  # it has just ended
            titles.append(" ".join(child.cmdline()))
    return any("_there" in title for title in titles)
