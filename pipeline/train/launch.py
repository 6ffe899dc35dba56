"""Training in several processes: where accelerate's configuration asks for them, the stage restarts itself under accelerate.

Decision: the number of processes is set per machine (`accelerate config`) and is not in params.yaml, so that moving a project
to a bigger machine makes nothing stale.
"""

import logging
import os
import subprocess
import sys
from pathlib import Path

from pipeline.common.errors import BigfootError

LAUNCHED = "BIGFOOT_UNDER_ACCELERATE"  # prevents an endless restart where accelerate starts one process only
log = logging.getLogger(__name__)


def under_accelerate(module: str, *arguments: str) -> bool:
    """True where `accelerate launch` has run the stage to its end; False where the caller has to run it.

    Raises BigfootError where the processes failed.
    """
    if LAUNCHED in os.environ:
        if "LOCAL_RANK" not in os.environ:
            log.warning(
                "accelerate started one process, not %d: without GPUs it needs MPI (mpirun_hostfile)", _configured_processes()
            )
        return False
    if "LOCAL_RANK" in os.environ or _configured_processes() < 2:
        return False
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(_config_file()), "-m", module]
    status = subprocess.run([*command, *arguments], env=os.environ | {LAUNCHED: "1"}).returncode
    if status:
        raise BigfootError(f"{module} under accelerate ended with status {status}: its own message is above")
    return True


def is_worker() -> bool:
    """Whether this is one of a training's processes, and another one stands for them all."""
    return LAUNCHED in os.environ or os.environ.get("RANK", "0") != "0"  # of all nodes, which may share the lock


def _configured_processes() -> int:
    """What accelerate's configuration asks for, 1 without one; raises BigfootError where that can't be read."""
    from ruamel.yaml import YAML, YAMLError

    config = _config_file()
    if not config.is_file():
        return 1
    try:
        count = YAML(typ="safe").load(config).get("num_processes", 1)
        if not isinstance(count, int):
            raise ValueError
    except (YAMLError, AttributeError, ValueError):
        raise BigfootError(f"{config}: num_processes is not a whole number: run `accelerate config` again") from None
    return count


def _config_file() -> Path:
    """The file that ACCELERATE_CONFIG_FILE names, otherwise the one that `accelerate config` writes."""
    if path := os.environ.get("ACCELERATE_CONFIG_FILE"):
        return Path(path)
    from accelerate.commands.config.config_args import default_yaml_config_file

    return Path(default_yaml_config_file)
