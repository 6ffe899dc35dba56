"""The stage graph as DVC reads it from dvc.yaml and params.yaml: which stages there are, what each waits for, what is stale.

Decision: whoever needs the graph (Prefect's flow, tests) asks DVC itself, so that it is written down once, in dvc.yaml.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pipeline.common.errors import BigfootError

Graph = Mapping[str, frozenset[str]]  # stage, such as quantize@half-int8-onnx -> the stages whose outs it reads


def read(root: Path | str = ".") -> Graph:
    """All stages, each after those that it depends on; raises BigfootError where dvc.yaml or params.yaml can't be read."""
    from dvc.stage import PipelineStage

    with _repo(root) as repo:
        edges = repo.index.graph
        found = {
            stage.name: frozenset(one.name for one in edges.successors(stage) if isinstance(one, PipelineStage))
            for stage in edges
            if isinstance(stage, PipelineStage)
        }
    return {name: found[name] for name in _in_order(found)}


def stale(root: Path | str, graph: Graph) -> set[str]:
    """The stages that `dvc repro` would look at: those that DVC calls changed, and all that follow from one of them.

    One `dvc status` for the whole graph: asking stage by stage takes a second each.
    """
    with _repo(root) as repo:
        changed = {address.rpartition(":")[2] for address in repo.status()}  # from elsewhere it is ../dvc.yaml:NAME
    return changed & set(graph) | after(graph, changed)


def code(stage: str) -> list[Path]:
    """The Python files that dvc.yaml declares as code deps of a stage, sorted; `student` stands for all of student@NAME.

    It is read beside this package, so it is the graph of the code that runs.
    """
    from ruamel.yaml import YAML

    root = Path(__file__).parents[2]
    found = YAML(typ="safe").load(root / "dvc.yaml")["stages"][stage]
    rooms = [root / dep for dep in found.get("do", found)["deps"] if dep.startswith("pipeline/")]
    return sorted(file for room in rooms for file in ([room] if room.is_file() else room.rglob("*.py")))


def after(graph: Graph, begun: Iterable[str]) -> set[str]:
    """All stages that depend, at whatever distance, on one of these."""
    found, begun = set(), set(begun)
    for name, needs in graph.items():  # in order, so that one pass suffices
        if needs & (begun | found):
            found.add(name)
    return found


def up_to(graph: Graph, targets: Iterable[str]) -> Graph:
    """The part of the graph that these stages need; `student` stands for all of student@NAME.

    Raises BigfootError where a target is no stage.
    """
    wanted: set[str] = set()
    for target in targets:
        named = {name for name in graph if name == target or name.startswith(f"{target}@")}
        if not named:
            raise BigfootError(f"there is no stage {target}: dvc.yaml has {', '.join(graph)}")
        wanted |= named
    for name in reversed(list(graph)):
        if name in wanted:
            wanted |= graph[name]
    return {name: needs for name, needs in graph.items() if name in wanted}


def _in_order(graph: Graph) -> Iterator[str]:
    """Every stage after those that it needs, else as DVC lists them."""
    done: set[str] = set()
    while len(done) < len(graph):
        ready = [name for name, needs in graph.items() if name not in done and needs <= done]
        yield from ready
        done.update(ready)


@contextlib.contextmanager
def _repo(root: Path | str):
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            yield repo
    except DvcException as error:
        raise BigfootError(f"DVC can't read the stages of {root}: {' '.join(str(error).split())}") from None
