"""Commands and options of mlflow and prefect in the documentation exist. Slow, because each takes seconds to say so."""

import itertools
import os
import re
import subprocess
import sys

import pytest

from tests.docs import pages
from tests.docs.test_pages import options

pytestmark = pytest.mark.slow


def documented() -> list[list[str]]:
    named = [command for page in pages.pages() for command in pages.tool_commands(page) if command[0] in ("mlflow", "prefect")]
    return [command for command in named if len(command) > 1 and not command[1].startswith("-")]


def names(command: list[str]) -> tuple[str, ...]:
    """The first three words, as far as they may be a command: `prefect worker start --pool x` -> prefect worker start."""
    return tuple(itertools.takewhile(re.compile(r"[a-z][a-z-]*$").match, command[:3]))


def help_of(command: tuple[str, ...]) -> str:
    """The help of the longest beginning that is a command."""
    environment = os.environ | {"COLUMNS": "250", "NO_COLOR": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
    for length in range(len(command), 1, -1):
        done = subprocess.run(
            [sys.executable, "-m", *command[:length], "--help"], capture_output=True, text=True, env=environment, timeout=200
        )
        is_group = re.search(r"Usage:.*COMMAND", done.stdout, re.IGNORECASE)
        if done.returncode == 0 and (length == len(command) or not is_group):
            return done.stdout
    raise AssertionError(f"{' '.join(command)}: no such command")


@pytest.mark.timeout(1500)
def test_commands_and_options_of_mlflow_and_prefect_exist():
    commands = documented()
    helps = {name: help_of(name) for name in sorted({names(command) for command in commands})}
    assert len(helps) > 3
    for command in commands:
        for option in options(command[1:]):
            assert option in helps[names(command)], f"{' '.join(command)}: no option {option}"


def test_what_is_not_there_is_found():
    with pytest.raises(AssertionError, match="no such command"):
        help_of(("mlflow", "models", "serv"))
    assert "--backend-store-uri" in help_of(("mlflow", "server"))
