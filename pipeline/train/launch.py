"""Several processes for training: the stage starts itself anew under accelerate where accelerate's configuration asks for it.

Decision: the number of processes is the machine's business (`accelerate config`), no parameter, so that moving a
project to a bigger machine makes nothing stale.
"""

import logging
import os
import subprocess
import sys
from pathlib import Path

from pipeline.common.errors import BigfootError

LAUNCHED = "BIGFOOT_UNDER_ACCELERATE"  # without it a launcher that starts one process would start itself for ever
log = logging.getLogger(__name__)


def under_accelerate(module: str, *arguments: str) -> bool:
    """True where the stage has been run to its end by `accelerate launch`; False where the caller should go on itself.

    Raises BigfootError where the processes failed.
    """
    if LAUNCHED in os.environ:
        if "LOCAL_RANK" not in os.environ:
            log.warning(
                "accelerate started one process, not %d: on CPUs alone it wants MPI (mpirun_hostfile)", _wanted_processes()
            )
        return False
    if "LOCAL_RANK" in os.environ or _wanted_processes() < 2:
        return False
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(_config_file()), "-m", module]
    status = subprocess.run([*command, *arguments], env=os.environ | {LAUNCHED: "1"}).returncode
    if status:
        raise BigfootError(f"{module} under accelerate ended with status {status}: its own message is above")
    return True


def _wanted_processes() -> int:
    from ruamel.yaml import YAML

    config = _config_file()
    if not config.is_file():
        return 1
    return int(YAML(typ="safe").load(config).get("num_processes", 1))


def _config_file() -> Path:
    """Where `accelerate config` writes, or the file that ACCELERATE_CONFIG_FILE names."""
    if named := os.environ.get("ACCELERATE_CONFIG_FILE"):
        return Path(named)
    cache = Path(os.environ.get("HF_HOME", Path.home() / ".cache/huggingface"))
    return cache / "accelerate/default_config.yaml"
