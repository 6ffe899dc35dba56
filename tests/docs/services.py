"""Real servers for the documentation's tests: S3 (moto), PostgreSQL, MLflow; each on loopback and gone with the test.

Where a machine lacks one the test is skipped, and the reason names what is missing.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from glob import glob
from importlib.util import find_spec
from pathlib import Path

import pytest

KEYS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "us-east-1"}


def require(*modules: str) -> None:
    """Skip where one of these is not installed."""
    lacking = [module for module in modules if not find_spec(module)]
    if lacking:
        pytest.skip(f"{', '.join(lacking)} not installed: make remote")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def process(command: list[str], log: Path, is_up: Callable[[], bool], seconds: float = 600, **how) -> Iterator[int]:
    """A server as long as it is needed; it is up when `is_up` returns True without raising OSError.

    Gives the number of its process group.
    """
    with log.open("w") as out:
        running = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True, **how)
        try:
            deadline = time.monotonic() + seconds
            while not _true(is_up):
                assert running.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
                time.sleep(0.3)
            yield running.pid
        finally:
            with suppress(ProcessLookupError):  # it may have ended by itself
                os.killpg(running.pid, signal.SIGTERM)
            try:
                running.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
                running.wait(30)


def _true(is_up: Callable[[], bool]) -> bool:
    try:
        return is_up()
    except OSError:
        return False


def accepts(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=2):
        return True


@contextmanager
def s3(folder: Path) -> Iterator[str]:
    """The address of an S3 server without a bucket."""
    require("moto", "flask_cors", "boto3", "dvc_s3")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with process(command, folder / "s3.log", lambda: accepts(port), env=os.environ | KEYS):
        yield f"http://127.0.0.1:{port}"


def client(address: str):
    """A client of that S3 server."""
    import boto3

    return boto3.client(
        "s3", endpoint_url=address, aws_access_key_id="any", aws_secret_access_key="any", region_name="us-east-1"
    )


@contextmanager
def postgresql(database: str) -> Iterator[str]:
    """The URI of an empty database in a PostgreSQL server of its own; as user postgres where this is root, who may not."""
    require("psycopg")
    candidates = [shutil.which("initdb"), *sorted(glob("/usr/lib/postgresql/*/bin/initdb"))]
    if not any(candidates):
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    tools = Path(next(filter(None, reversed(candidates)))).parent
    how = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    folder = Path(tempfile.mkdtemp(prefix="bigfoot-pg-"))  # not below pytest's folders, which others may not enter
    try:
        if how:
            shutil.chown(folder, "postgres", "postgres")
        data, port = folder / "data", free_port()
        start = [tools / "initdb", "--pgdata", data, "--username", "bigfoot", "--auth", "trust", "--no-sync"]
        subprocess.run([*map(str, start)], check=True, capture_output=True, cwd=folder, **how)
        serve = [tools / "postgres", "-D", data, "-k", folder, "-p", port, "-h", "127.0.0.1", "-c", "fsync=off"]
        with process([*map(str, serve)], folder.with_suffix(".log"), lambda: accepts(port), cwd=folder, **how):
            _create_database(port, database)
            yield f"postgresql://bigfoot@127.0.0.1:{port}/{database}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        folder.with_suffix(".log").unlink(missing_ok=True)


def _create_database(port: int, database: str) -> None:
    import psycopg

    for _ in range(100):  # it listens before it is ready
        try:
            connection = psycopg.connect(host="127.0.0.1", port=port, user="bigfoot", dbname="postgres")
            break
        except psycopg.OperationalError:
            time.sleep(0.2)
    connection.autocommit = True
    connection.cursor().execute(f"CREATE DATABASE {database}")
    connection.close()
