"""`bigfoot push` sends a folder with its card, or fails with the reason in one line.

The hub here is a FAKE: an HTTP server of this file that speaks the few routes that huggingface_hub's `whoami`, `create_repo`,
`create_branch` and `upload_folder` call (regular files and Git LFS, not Xet) and keeps what it gets. It shows that the client
is used rightly, not that huggingface.co takes it.
"""

import base64
import hashlib
import json
import shutil
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import ModelCard, constants
from typer.testing import CliRunner

from pipeline import cli
from pipeline.apps import push
from pipeline.common.errors import Away, BigfootError
from pipeline.compare.run import compare
from pipeline.models import folder as model_folder
from pipeline.recognition import seal
from tests import planted
from tests.docs import pages
from tests.planted import plant, write

HALF, THIN, TOKEN = "half.int8-onnx", "thin.int8-openvino", "hf_of_the_test"
FIGURES = {name.replace("half.int8-openvino", HALF): figures for name, figures in planted.FIGURES.items()}


class Hub(BaseHTTPRequestHandler):
    """`server.repos` is {repo: {branch: {path: bytes}}}, `objects` what came by LFS, `refuses` {a path's end: status}."""

    def do_GET(self):
        repo, _, branch = self.path.removeprefix("/api/models/").partition("/revision/")
        files = [{"rfilename": name} for name in self.server.repos.get(repo, {}).get(branch or "main", {})]
        is_there = repo in self.server.repos
        about = {"id": repo, "private": repo in self.server.private, "siblings": files} if is_there else None
        self._answer({"name": "me", "type": "user"} if self.path == "/api/whoami-v2" else about)

    def do_PUT(self):
        self.server.objects[self.path.rpartition("/")[2]] = self._body()
        self._answer({})

    def do_POST(self):
        path, body = self.path.partition("?")[0], self._body()
        *_, kind, last = path.split("/")
        repo = "/".join(path.removeprefix("/api/models/").split("/")[:2])
        if path == "/api/repos/create":
            wanted = json.loads(body)
            repo = f"{wanted['organization'] or 'me'}/{wanted['name']}"
            self.server.created.append(wanted)
            is_there = repo in self.server.repos
            if "repos/create" not in self.server.refuses:
                self.server.repos.setdefault(repo, {"main": {}})
            if not is_there and wanted.get("visibility") == "private":
                self.server.private.add(repo)
            self._answer({"url": f"{self.server.address}/{repo}"}, 409 if is_there else 200)
        elif path == "/api/validate-yaml":
            self._answer({"errors": [], "warnings": []})
        elif kind == "branch":
            self.server.repos[repo].setdefault(last, {})
            self._answer({})
        elif kind == "preupload":
            files = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": file, "uploadMode": "lfs" if file.endswith(".bin") else "regular"} for file in files]
            self._answer({"files": [{**mode, "shouldIgnore": False} for mode in modes]})
        elif path.endswith(".git/info/lfs/objects/batch"):
            upload = f"{self.server.address}/lfs/"
            objects = [
                {**entry, "actions": {"upload": {"href": upload + entry["oid"]}}} for entry in json.loads(body)["objects"]
            ]
            self._answer({"transfer": "basic", "objects": objects})
        elif kind == "commit":
            for line in map(json.loads, body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    self.server.repos[repo][last][value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    self.server.repos[repo][last][value["path"]] = self.server.objects[value["oid"]]
            self._answer({"commitUrl": f"{self.server.address}/{repo}/commit/1", "commitOid": "1" * 40})
        else:
            self._answer(None)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _answer(self, content, status=200):
        path = self.path.partition("?")[0]
        refused = next((status for end, status in self.server.refuses.items() if path.endswith(end)), None)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}" and not path.startswith("/lfs/"):
            refused = 401
        elif content is None:
            refused = refused or 404
        body = json.dumps(content if refused is None else {"error": "refused"}).encode()
        self.send_response(refused or status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.address = f"http://127.0.0.1:{server.server_port}"
    server.repos, server.objects, server.refuses, server.created, server.private = {}, {}, {}, [], set()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    compare(plant(folder, FIGURES), folder, folder / "reports")
    return folder


@pytest.fixture(autouse=True)
def token(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)


def test_a_variant_arrives_byte_for_byte_with_its_card(project, hub):
    address = push.push(project, HALF, "me/half-int8", private=True, endpoint=hub.address, license="apache-2.0")
    assert address == f"{hub.address}/me/half-int8" and hub.created[0]["visibility"] == "private"
    there = hub.repos["me/half-int8"]["main"]
    sent = {path.name: path.read_bytes() for path in (project / "variants" / HALF).iterdir()}
    assert {name: there[name] for name in sent} == sent and set(there) == {*sent, "README.md"}
    assert hashlib.sha256(sent["weights.bin"]).hexdigest() in hub.objects, "weights.bin did not go by LFS"
    card = ModelCard(there["README.md"].decode())
    assert card.data.license == "apache-2.0" and card.data.eval_results[2].metric_value == FIGURES[HALF][0] / 2000


def test_the_commands_do_what_the_page_says(project, hub, tmp_path, monkeypatch):
    shutil.copytree(project, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("HF_ENDPOINT", hub.address)
    page = next(page for page in pages.pages() if page.name == "cards.md")
    documented = [words for block in pages.blocks(page) if block.language == "console" for words in pages.commands(block.text)]
    assert [words[:2] for words in documented] == [["bigfoot", "export"], ["bigfoot", "push"]]
    for words in documented:
        planted_words = [word.replace("thin", "half") for word in words[1:]]  # which passes the gate here
        done = CliRunner().invoke(cli.app, planted_words)
        assert done.exit_code == 0, done.output
    assert "license: apache-2.0" in (tmp_path / "project/out/half-int8/README.md").read_text()
    assert set(hub.repos["me/half-int8"]["v2"]) == {"README.md", "variant.json", "weights.bin"}


def test_a_flipped_bit_is_found_before_anything_is_handed_on(project, hub, tmp_path):
    folder = shutil.copytree(project, tmp_path / "project") / "variants" / HALF
    (folder / "weights.bin").write_bytes(bytes([folder.joinpath("weights.bin").read_bytes()[0] ^ 1]) + HALF.encode()[1:])
    with pytest.raises(BigfootError, match=r"weights\.bin has the size but not the content"):
        push.export(tmp_path / "project", HALF, tmp_path / "out")
    with pytest.raises(BigfootError, match=r"weights\.bin has the size but not the content"):
        push.push(tmp_path / "project", HALF, "me/half", endpoint=hub.address)
    assert not (tmp_path / "out").exists() and not hub.repos


@pytest.mark.parametrize("is_resealed", [False, True])
def test_weights_that_the_card_was_not_made_for_are_not_handed_on(project, hub, tmp_path, is_resealed):
    folder = shutil.copytree(project, tmp_path / "project") / "variants" / HALF
    (folder / "weights.bin").write_bytes(b"others")
    if is_resealed:
        info = json.loads((folder / "variant.json").read_text())
        (folder / "variant.json").unlink()
        write(folder / "variant.json", {**info, "files": seal.seal(folder)})
    with pytest.raises(BigfootError, match="changed after the last comparison" if is_resealed else "another file|cut off"):
        push.push(tmp_path / "project", HALF, "me/half", endpoint=hub.address)
    assert not hub.repos


def test_a_model_trained_again_is_not_handed_on_with_the_card_of_the_one_before(hub, tmp_path):
    settings, folder = plant(tmp_path, FIGURES), tmp_path / "models" / "half"
    write(folder / "config.json", {"trained": "first"})
    model_folder.write_sums(folder)
    compare(settings, tmp_path, tmp_path / "reports")
    push.export(tmp_path, "half", tmp_path / "out")
    write(folder / "config.json", {"trained": "again"})
    model_folder.write_sums(folder)
    with pytest.raises(BigfootError, match="half was changed after the last comparison"):
        push.push(tmp_path, "half", "me/half", endpoint=hub.address)
    assert not hub.repos


def test_pushed_again_to_a_branch_the_repository_stays_one(project, hub):
    for revision in (None, "v2"):
        address = push.push(project, "half", "me/half", endpoint=f"{hub.address}/", revision=revision)
    assert address.endswith("/me/half/tree/v2")
    assert list(hub.repos) == ["me/half"] and hub.repos["me/half"]["v2"] == hub.repos["me/half"]["main"]


def test_nothing_private_goes_into_a_repository_that_is_public(project, hub):
    push.push(project, "half", "me/half", endpoint=hub.address)
    before = dict(hub.repos["me/half"]["main"])
    with pytest.raises(BigfootError, match="me/half is there already, and public: make it private first"):
        push.push(project, HALF, "me/half", private=True, endpoint=hub.address)
    assert hub.repos["me/half"]["main"] == before


def test_a_variant_that_fails_the_gate_needs_force(project, hub):
    with pytest.raises(BigfootError, match=f"{THIN} .*the gate .*--force"):
        push.push(project, THIN, "me/thin", endpoint=hub.address)
    assert not hub.repos
    push.push(project, THIN, "me/thin", endpoint=hub.address, force=True)
    assert "weights.bin" in hub.repos["me/thin"]["main"]


@pytest.mark.parametrize(
    ("refuses", "message"),
    [
        ({"whoami-v2": 401}, r"token \(401\).*HF_TOKEN"),
        ({"repos/create": 403}, r"token .*me/half .*\(403\)"),
        ({"commit/main": 403}, r"token .*me/half .*\(403\)"),
        ({"validate-yaml": 400}, "me/half: Invalid metadata in README.md"),
    ],
)
def test_what_the_hub_refuses_is_one_line(project, hub, refuses, message):
    hub.refuses = refuses
    with pytest.raises(BigfootError, match=message) as raised:
        push.push(project, HALF, "me/half", endpoint=hub.address)
    assert "\n" not in str(raised.value) and TOKEN not in str(raised.value)


def test_a_hub_that_is_away_may_be_tried_again(project):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(Away, match=closed):
        push.push(project, HALF, "me/half", endpoint=closed)


def test_what_is_wrong_here_is_an_error_before_anything_is_sent(project, hub, monkeypatch, tmp_path):
    with pytest.raises(BigfootError, match="thick: .*half, teacher, thin"):
        push.push(project, "thick", "me/thick", endpoint=hub.address)
    with pytest.raises(BigfootError, match="me/a/b"):
        push.push(project, HALF, "me/a/b", endpoint=hub.address)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(BigfootError, match="HF_TOKEN"):
        push.push(project, HALF, "me/half", endpoint=hub.address)
    (tmp_path / "variants" / HALF).mkdir(parents=True)
    with pytest.raises(BigfootError, match=f"{HALF} .*dvc repro compare"):
        push.push(tmp_path, HALF, "me/half", endpoint=hub.address)
    assert not hub.repos


def test_files_that_are_not_of_the_variant_are_not_published(project, hub, tmp_path):
    shutil.copytree(project, tmp_path / "project")
    for name in ("variants/" + HALF, "models/half"):
        (tmp_path / "project" / name / "notes").mkdir()
        (tmp_path / "project" / name / "notes" / ".env").write_text("KEY=1")
    (tmp_path / "project/models/half/config.json").write_text("{}")
    model_folder.write_sums(tmp_path / "project/models/half")
    for name in (HALF, "half"):
        with pytest.raises(BigfootError, match=rf"{name} has files that are not its own \(notes/.env\), which would be publ"):
            push.push(tmp_path / "project", name, "me/half", endpoint=hub.address)
    assert not hub.repos


def test_what_a_repository_held_before_stays_and_is_named(project, hub, caplog):
    push.push(project, "half", "me/half", endpoint=hub.address, force=True)
    assert not caplog.messages
    push.push(project, HALF, "me/half", endpoint=hub.address)
    (message,) = caplog.messages
    assert message.startswith(f"me/half keeps files that are not of {HALF}: ") and "metrics.json" in message
    assert "README.md" not in message and "weights.bin" not in message


def test_a_card_that_is_damaged_is_one_line(project, tmp_path):
    shutil.copytree(project, tmp_path / "project")
    card = tmp_path / "project" / "reports" / "cards" / f"{HALF}.md"
    for content in (b"\xff", b"---\na: [\n---\n"):
        card.write_bytes(content)
        with pytest.raises(BigfootError, match=rf"{HALF}.md is not .*: run `dvc repro --force compare`"):
            push.export(tmp_path / "project", HALF, tmp_path / "out", license="mit")
    assert not (tmp_path / "out").exists()


def test_a_variant_is_not_exported_onto_itself(project):
    folder = project / "variants" / HALF
    before = sorted(path.name for path in folder.iterdir())
    with pytest.raises(BigfootError, match=f"is {HALF} itself, or in its folder: name another"):
        push.export(project, HALF, folder, force=True)
    with pytest.raises(BigfootError, match="itself, or in its folder"):
        push.export(project, HALF, folder / "below")
    assert sorted(path.name for path in folder.iterdir()) == before
