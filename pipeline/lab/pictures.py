"""`make pictures`: the pictures in docs/pictures, of the last run of this project, each of the real page in a real browser.

    python -m pipeline.lab.pictures [PATTERN ...]

Needs chromium on the path, a comparison on disk and in MLflow, and web/ (`make web`). Starts Prefect and MLflow as `make ui`
does, on free ports, and runs the flow once, which finds every stage up to date. With patterns (`mlflow-*`) only those pictures
are taken. A picture is the first screen of a page, in 256 colors.
"""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from pipeline.common.command import stage_main
from pipeline.common.errors import BigfootError
from pipeline.compare import comparison
from pipeline.lab.browser import Browser, served, wait_for
from pipeline.project import Project, load_params
from pipeline.speech.corpus import open_corpus
from pipeline.tracking.log import comparison_key
from pipeline.tracking.store import Store

PICTURES = Path("docs/pictures")
MOST_BYTES = 200_000
DESKTOP, PHONE, WIDE = (1280, 900), (390, 844), (1600, 900)
# MLflow's panel of an assistant, and Plotly's buttons, which lie over the bars where there is no mouse.
WITHOUT_TOOLS = """document.querySelectorAll('[aria-label="Close"]').forEach((one) => one.click());
document.head.insertAdjacentHTML('beforeend', '<style>.modebar { display: none }</style>')"""
MOST_TRIES = 30
SETTLED_SECONDS = 4.0  # a page of charts is drawn some time after its data has come


def main(*patterns: str) -> None:
    project, params = Project(Path.cwd()), load_params()
    if not comparison.exists(project.root) or not (project.page / "index.html").is_file():
        raise BigfootError("pictures are of a finished run and of web/: run `dvc repro` and `make web` first")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bigfoot-") as scratch, Browser(Path(scratch) / "profile") as browser:
        camera = Camera(browser, patterns)
        _report(camera, project)
        _recognizer(camera, project, params.corpus.name, Path(scratch))
        if camera.wants("mlflow-list", "mlflow-charts", "mlflow-compare", "prefect-form", "prefect-run", "prefect-comparison"):
            with _ui() as (prefect, mlflow):
                _mlflow(camera, mlflow, Store(params.tracking.experiment, project.root))
                _prefect(camera, prefect, params.profile)


class Camera:
    def __init__(self, browser: Browser, patterns: tuple[str, ...]):
        self.browser, self._patterns = browser, patterns

    def wants(self, *names: str) -> bool:
        return not self._patterns or any(fnmatch(name, pattern) for name in names for pattern in self._patterns)

    def take(self, name: str, address: str, until: str = "true", size: tuple[int, int] = DESKTOP, act: str = "0") -> None:
        """A picture of the first screen of a page, once the expression `until` holds there and `act` is done."""
        if not self.wants(name):
            return
        self.browser.size(*size)
        self.browser.go(address)
        self.browser.until(until)
        self.take_here(name, act)

    def take_here(self, name: str, act: str = "0") -> None:
        """A picture of the page that is open."""
        self.browser.run(act)
        time.sleep(SETTLED_SECONDS)
        content = _smaller(self.browser.screen())
        if len(content) > MOST_BYTES:
            raise BigfootError(f"{name}.png has {len(content):,} bytes, more than {MOST_BYTES:,}")
        (PICTURES / f"{name}.png").write_bytes(content)
        print(f"{PICTURES / name}.png: {len(content):,} bytes", flush=True)


def _smaller(png: bytes) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(content, "PNG", optimize=True)
    return content.getvalue()


def _report(camera: Camera, project: Project) -> None:
    page = f"file://{(project.reports / 'index.html').resolve()}"
    camera.take("report", page)
    camera.take("report-phone", page, size=PHONE)


def _recognizer(camera: Camera, project: Project, corpus: str, scratch: Path) -> None:
    """The page of `make web` with the text of an utterance of the test set, recognized by two models."""
    if not camera.wants("web"):
        return
    opened = open_corpus(project.corpus(corpus))
    utterance = max(opened.utterances(opened.test_sets[0]), key=lambda each: len(each.text))
    recording = scratch / "recording.flac"
    recording.write_bytes(opened.flac(utterance))
    free = "document.querySelector('#listen')?.disabled === false"
    with served(project.page) as (address, _):
        browser = camera.browser
        browser.size(*DESKTOP)
        browser.go(address)
        browser.until(free)
        browser.run("[...document.querySelectorAll('#models input')].slice(0, 2).forEach((one) => one.checked || one.click())")
        browser.until(free)
        browser.upload("#file", recording)
        browser.until(f"{free} && document.querySelector('#answers .words')?.textContent.trim()")
        said = json.dumps(utterance.text)
        write = f"const said = document.querySelector('#said'); said.value = {said}; said.dispatchEvent(new Event('input'))"
        camera.take_here("web", write)


@contextmanager
def _ui() -> Iterator[tuple[str, str]]:
    """The addresses of Prefect and MLflow, started as `make ui` does."""
    ports = {"BIGFOOT_PREFECT_PORT": _free_port(), "BIGFOOT_MLFLOW_PORT": _free_port()}
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.ui"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | ports
    )
    try:
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            if "ctrl-C" in line:
                break
        else:
            raise BigfootError("`make ui` did not start: its lines are above")
        yield tuple(f"http://127.0.0.1:{port}" for port in ports.values())  # type: ignore[misc]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def _free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def _mlflow(camera: Camera, address: str, store: Store) -> None:
    """The list of the last comparison's variants, their charts, and all of them side by side."""
    parent = store.find("comparison", comparison_key(store.project))
    if parent is None:
        raise BigfootError("the last comparison is not in MLflow: run `bigfoot track`")
    of_it = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    runs = store.client.search_runs([store.experiment_id], of_it, order_by=["metrics.`headline/speedup` DESC"])
    before, _, query = store.page.partition("#")[2].partition("?")
    shown = dict(parse_qsl(query)) | {"searchFilter": of_it}
    for name, mode in (("mlflow-list", "TABLE"), ("mlflow-charts", "CHART")):
        page = f"{address}/#{before}?{urlencode(shown | {'compareRunsMode': mode}, quote_via=quote)}"
        camera.take(name, page, _has(runs[0].info.run_name), WIDE, WITHOUT_TOOLS)
    chosen = json.dumps([run.info.run_id for run in runs])
    compared = urlencode({"runs": chosen, "experiments": json.dumps([store.experiment_id])})
    camera.take("mlflow-compare", f"{address}/#/compare-runs?{compared}", _has(runs[0].info.run_name), WIDE, WITHOUT_TOOLS)


def _prefect(camera: Camera, address: str, profile: str) -> None:
    """The form of a run, a run that finds everything up to date, and the comparison that it shows."""
    deployment = asked(address, "deployments/name/shrink/nightly")["id"]
    run = asked(address, f"deployments/{deployment}/create_flow_run", {})["id"]
    state = lambda: asked(address, f"flow_runs/{run}")["state_type"]  # noqa: E731
    wait_for(lambda: state() not in ("SCHEDULED", "PENDING", "RUNNING"), 300, "the flow did not end")
    if state() != "COMPLETED":
        raise BigfootError(f"the flow run ended as {state()}: see .bigfoot/prefect/worker.log")
    camera.take("prefect-form", f"{address}/deployments/deployment/{deployment}/run", _has("Additional Options"))
    camera.take("prefect-run", f"{address}/runs/flow-run/{run}", _has("Completed"))
    (artifact,) = asked(address, "artifacts/latest/filter", {"artifacts": {"key": {"any_": [f"comparison-{profile}"]}}})
    camera.take("prefect-comparison", f"{address}/artifacts/artifact/{artifact['latest_id']}", _has("champion"))


def _has(text: str) -> str:
    return f"document.body.innerText.includes('{text}')"


def asked(address: str, path: str, body: dict | None = None) -> Any:
    """The answer of Prefect's server; POST where there is a body. Raises BigfootError where it stays busy."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{address}/api/{path}", data, {"content-type": "application/json"})
    for _ in range(MOST_TRIES):
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != 503:  # its database is busy: Prefect's own client retries, too
                raise
        time.sleep(1)
    raise BigfootError(f"{address}/api/{path} was busy {MOST_TRIES} times")


if __name__ == "__main__":
    stage_main(main)
