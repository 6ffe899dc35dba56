"""A model or variant with its card: `export` lays them into a folder, `push` puts that folder on a hub.

A hub is huggingface.co or whatever speaks its API at HF_ENDPOINT. What can be refused here is refused before anything is
sent: an unknown name, a missing card, a variant that doesn't pass the gate, no token. Publishing is for good, so nothing is
pushed by itself: only `bigfoot push` does it. The license of the weights is the publisher's to choose, and goes into the card.
"""

import shutil
import tempfile
from pathlib import Path

from pipeline.common.errors import Away, BigfootError, is_away
from pipeline.compare import comparison
from pipeline.project import Project
from pipeline.recognition import seal


def export(root: Path, name: str, out: Path, force: bool = False, license: str | None = None) -> Path:
    """Copy a model or variant into the folder `out`, its card as README.md; returns `out`.

    Raises BigfootError where the name or the card is unknown, where a variant's files are not those that were compared, and,
    without `force`, where `out` holds anything. `force` overwrites files of the same names and leaves others alone.
    """
    folder, card = _find(root, name)
    _check_files(root, folder)
    if not force and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BigfootError(f"{out} is there and not empty: name another folder, or add --force to write into it")
    try:
        shutil.copytree(folder, out, dirs_exist_ok=True)
        (out / "README.md").write_text(_licensed(card, license), encoding="utf-8")
    except OSError as error:
        raise BigfootError(f"{out} can't be written: {error.strerror or error}") from None
    return out


def push(
    root: Path,
    name: str,
    repo: str,
    private: bool = False,
    endpoint: str | None = None,
    revision: str | None = None,
    license: str | None = None,
    force: bool = False,
) -> str:
    """Put a model or variant with its card on a hub, into the repository `repo` (made if need be); returns its address.

    The token is HF_TOKEN's or that of `hf auth login`. Raises BigfootError, in one line, for whatever is in the way.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    _find(root, name)
    if not force:
        _require_gate(root, name)
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise BigfootError(f"{repo} is no name of a repository, such as me/small-model: {_line(error)}") from None
    if not (token := get_token()):
        raise BigfootError("no token for the hub: set HF_TOKEN, or run `hf auth login`")
    api = HfApi(endpoint=endpoint and endpoint.rstrip("/"), token=token, library_name="bigfoot")
    with tempfile.TemporaryDirectory(prefix="bigfoot-") as scratch:
        folder = export(root, name, Path(scratch) / name, license=license)
        try:
            api.whoami()
            made = api.create_repo(repo, private=private or None, exist_ok=True)
            if revision:
                api.create_branch(made.repo_id, branch=revision, exist_ok=True)
            api.upload_folder(
                repo_id=made.repo_id, folder_path=folder, revision=revision, commit_message=f"{name}, made by Bigfoot"
            )
        except Exception as error:  # the client has a class for every mishap, and more than one parent of them
            raise _refused(error, repo, api.endpoint) from None
    return f"{api.endpoint}/{made.repo_id}" + (f"/tree/{revision}" if revision else "")


def _find(root: Path, name: str) -> tuple[Path, Path]:
    """A model's or variant's folder and its card."""
    project = Project(root)
    rooms = (project.models, project.variants)
    folders = {path.name: path for room in rooms for path in sorted(room.glob("*")) if path.is_dir()}
    if (folder := folders.get(name)) is None:
        raise BigfootError(f"no model or variant {name}: there are {', '.join(folders) or 'none, is this the project?'}")
    card = project.reports / "cards" / f"{name}.md"
    if not card.is_file():
        raise BigfootError(f"{name} has no card ({card}): it is not in the last comparison, run `dvc repro compare`")
    return folder, card


def _check_files(root: Path, folder: Path) -> None:
    """Raise BigfootError where a variant is cut off, swapped, or made anew since its card's figures were measured."""
    if not (folder / "variant.json").is_file():
        return
    mark = seal.mark(seal.read(folder))
    row = next((row for row in comparison.read(root).rows if row.variant == folder.name), None)
    if row and row.files != mark:
        raise BigfootError(f"{folder} was made anew since the last comparison, its card is of other files: run `dvc repro`")


def _require_gate(root: Path, name: str) -> None:
    """Raise BigfootError where a variant, or a model as it is in fp32, was compared and doesn't pass the gate."""
    row = next((row for row in comparison.read(root).rows if row.variant in (name, f"{name}.fp32")), None)
    if row and not row.gate.passed:
        raise BigfootError(f"{name} doesn't pass the gate ({row.gate.reason}): --force pushes it all the same")


def _licensed(card: Path, license: str | None) -> str:
    """A card's text, with the license that its publisher chose."""
    if license is None:
        return card.read_text(encoding="utf-8")
    from huggingface_hub import ModelCard

    changed = ModelCard.load(card)
    changed.data.license = license
    changed.text = changed.text.replace("until then it is `unknown`", f"here it is `{license}`")
    return str(changed)


def _refused(error: Exception, repo: str, endpoint: str) -> BigfootError:
    """What a hub's answer, or its silence, means for the one who pushes."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return BigfootError(f"{endpoint} doesn't know the token (401): set HF_TOKEN anew, or run `hf auth login`")
    if status == 403:
        return BigfootError(f"the token may not write to {repo} at {endpoint} (403): use one with write access to it")
    if is_away(error):
        return Away(f"no hub at {endpoint}: {_line(error)}")
    return BigfootError(f"{endpoint} didn't take {repo}: {_line(error)}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
