"""`make ui`: starts a Prefect server, an MLflow server (both on loopback) and a worker, and registers the deployments.

All of them end with this process, however it ends (flows/guard.py). Prefect's database is in .bigfoot/prefect, and MLflow uses
the project's mlflow.db, so both show the results of `make demo` and of earlier flow runs. Ports: BIGFOOT_PREFECT_PORT and
BIGFOOT_MLFLOW_PORT, by default 4200 and 5000.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from flows import service
from flows.repro import GPU_TAG
from pipeline.common.command import stage_main
from pipeline.common.errors import BigfootError
from pipeline.project import Project

POOL, GPU_QUEUE = "bigfoot", "gpu"
AUTOMATIONS = Path(__file__).with_name("automations.yaml")


def main() -> None:
    project = Project(Path.cwd())
    folder, kept = project.root, project.scratch / "prefect"
    kept.mkdir(parents=True, exist_ok=True)
    prefect, mlflow = (_port(f"BIGFOOT_{name}_PORT", default) for name, default in (("PREFECT", 4200), ("MLFLOW", 5000)))
    prefect_url, mlflow_url = (f"http://127.0.0.1:{port}" for port in (prefect, mlflow))
    environment = os.environ | {
        "PREFECT_HOME": str(kept), "PREFECT_API_URL": f"{prefect_url}/api", "MLFLOW_TRACKING_URI": mlflow_url,
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30", **service.PRIVATE, "MLFLOW_DISABLE_TELEMETRY": "true",
    }  # fmt: skip
    run, store = [sys.executable, "-m", "prefect"], project.store
    environment["PREFECT_SERVER_UI_API_URL"] = f"{prefect_url}/api"  # otherwise its pages always call port 4200
    local = {key: value for key, value in environment.items() if key not in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI")}
    with contextlib.ExitStack() as services:
        print("Starting Prefect and MLflow, which may take a minute on a busy machine ...", flush=True)
        if subprocess.run([sys.executable, "-m", "pipeline.tracking.database"], cwd=folder, env=local).returncode:
            raise BigfootError(f"{store} can't be opened")  # the line before says why; it mends the paths of a moved project
        start = lambda name, command, env: services.enter_context(service.started(command, env, kept / f"{name}.log"))  # noqa: E731
        prefect_server = start(
            "prefect-server", [*run, "server", "start", "--host", "127.0.0.1", "--port", str(prefect)], local
        )
        mlflow_server = start(
            "mlflow-server",
            [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(mlflow), "--workers", "1",
             "--backend-store-uri", store, "--artifacts-destination", str(project.artifacts)], local,
        )  # fmt: skip
        service.wait_for("Prefect", f"{prefect_url}/api/health", kept / "prefect-server.log", prefect_server)
        service.wait_for("MLflow", f"{mlflow_url}/health", kept / "mlflow-server.log", mlflow_server)
        print("Registering the deployments ...", flush=True)
        for arguments in (
            ["work-pool", "create", POOL, "--type", "process", "--overwrite"],
            ["work-queue", "create", GPU_QUEUE, "--pool", POOL],
            ["concurrency-limit", "create", GPU_TAG, "1"],
            ["--no-prompt", "deploy", "--all"],
        ):
            _prefect(arguments, environment)
        if not _has_automation(environment):
            _prefect(["automation", "create", "--from-file", str(AUTOMATIONS)], environment)
        worker = start("worker", [*run, "worker", "start", "--pool", POOL], environment | {"BIGFOOT_PROJECT": str(folder)})
        print(f"\nPrefect: {prefect_url}/deployments\nMLflow:  {mlflow_url}\n\nctrl-C stops both and the worker.", flush=True)
        worker.wait()
        raise BigfootError(f"the worker ended: see {kept / 'worker.log'}")


def _prefect(arguments: list[str], environment: Mapping[str, str]) -> None:
    done = subprocess.run([sys.executable, "-m", "prefect", *arguments], env=environment, capture_output=True, text=True)
    output = done.stdout + done.stderr
    if done.returncode and "already exists" not in output:
        raise BigfootError(f"prefect {' '.join(arguments)} failed: {' '.join(output.split())[-400:]}")


def _has_automation(environment: Mapping[str, str]) -> bool:
    """Whether an earlier `make ui` has installed AUTOMATIONS: Prefect would install them once more."""
    name = yaml.safe_load(AUTOMATIONS.read_text(encoding="utf-8"))["automations"][0]["name"]
    listed = [sys.executable, "-m", "prefect", "automation", "inspect", name]
    return not subprocess.run(listed, env=environment, capture_output=True).returncode


def _port(variable: str, default: int) -> int:
    """The port to serve on; raises BigfootError where it is none, or another process uses it."""
    given = os.environ.get(variable) or str(default)
    port = int(given) if given.isdecimal() else 0
    if not 0 < port < 65_536:
        raise BigfootError(f"{variable} is {given}, not a port: set it to a number from 1 to 65535")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise BigfootError(f"port {port} is in use: stop the process that uses it, or set {variable} to another port")
    return port


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        stage_main(main)
