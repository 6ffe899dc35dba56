"""Headless Chromium, driven by its DevTools protocol over a WebSocket: what pictures and tests need, and no package more."""

import base64
import json
import subprocess
import time
from collections.abc import Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from websockets.sync.client import connect

OPTIONS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync "
    "--disable-component-update --remote-debugging-port=0 --autoplay-policy=no-user-gesture-required"
)


@contextmanager
def served(folder: Path):
    """A plain file server for a folder; gives its address and the paths that were asked for, in order."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_) -> None:
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", asked
    finally:
        server.shutdown()
        server.server_close()


class Browser:
    """One browser with one page; `wrong` gathers uncaught errors and what the console was told of errors."""

    def __init__(self, profile: Path, options: Sequence[str] = ()):
        self.process = subprocess.Popen(
            ["chromium", *OPTIONS.split(), f"--user-data-dir={profile}", *options, "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.wrong: list[str] = []
        self._number = 0
        try:
            port = profile / "DevToolsActivePort"
            wait_for(lambda: port.is_file() and len(port.read_text().splitlines()) > 1, 60, "chromium didn't start")
            number, path = port.read_text().splitlines()[:2]
            self.socket = connect(f"ws://127.0.0.1:{number}{path}", max_size=None)
            target = next(one for one in self._send("Target.getTargets")["targetInfos"] if one["type"] == "page")
            attached = self._send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        except BaseException:
            self.process.kill()
            raise
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.tell(f"{domain}.enable")

    def tell(self, method: str, **params) -> dict:
        """A command of the protocol to the page."""
        return self._send(method, session=self.session, **params)

    def go(self, address: str) -> None:
        self.tell("Page.navigate", url=address)
        self.until("document.readyState === 'complete'")

    def run(self, script: str):
        """What an expression gives, after its promise."""
        answer = self.tell("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, script: str, seconds: float = 60) -> None:
        """Wait until an expression is true."""
        state = "[document.body?.innerText ?? '', document.title].join(' | ')"
        wait_for(lambda: self.run(script), seconds, lambda: f"not {script}: {self.run(state)} {self.wrong}")

    def upload(self, selector: str, *files: Path) -> None:
        """Choose files in an input, as a person does in its dialog."""
        root = self.tell("DOM.getDocument")["root"]["nodeId"]
        node = self.tell("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.tell("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def picture(self, file: Path, width: int, scheme: str = "light") -> None:
        """A PNG of the whole page at this width, in a light or dark color scheme."""
        self.tell("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.tell("Emulation.setDeviceMetricsOverride", **size)
        height = self.run("document.documentElement.scrollHeight")
        self.tell("Emulation.setDeviceMetricsOverride", **{**size, "height": max(900, height)})
        file.write_bytes(base64.b64decode(self.tell("Page.captureScreenshot", format="png")["data"]))

    def size(self, width: int, height: int) -> None:
        """Have a screen of this size, a phone's where it is narrow."""
        self.tell("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)

    def screen(self) -> bytes:
        """A PNG of what the screen shows."""
        return base64.b64decode(self.tell("Page.captureScreenshot", format="png")["data"])

    def close(self) -> None:
        self.socket.close()
        self.process.kill()
        self.process.wait()

    def _send(self, method: str, session: str | None = None, **params) -> dict:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params, **({"sessionId": session} if session else {})}
        self.socket.send(json.dumps(message))
        while True:
            answer = json.loads(self.socket.recv(timeout=120))
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._note(answer)

    def _note(self, event: dict) -> None:
        """Keep what the page did wrong."""
        if event.get("method") == "Runtime.exceptionThrown":
            self.wrong.append(json.dumps(event["params"]["exceptionDetails"])[:600])
        if event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
            self.wrong.append(event["params"]["entry"]["text"])

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_) -> None:
        self.close()


def wait_for(is_so, seconds: float, otherwise) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, otherwise() if callable(otherwise) else otherwise
        time.sleep(0.1)
