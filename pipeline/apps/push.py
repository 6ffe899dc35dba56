"""A model or variant with its card: `export` copies them into a folder, `push` uploads that folder to a hub.

A hub is huggingface.co, or a server with its API at HF_ENDPOINT. What can be checked here is checked before anything is sent:
an unknown name, a missing card, a variant that doesn't pass the gate, no token. Publishing can't be undone, so only
`bigfoot push` does it. The publisher chooses the license of the weights, which is written into the card.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from pipeline.common.errors import Away, BigfootError, is_away, one_line
from pipeline.common.files import SUMS, again, new_folder, read_text
from pipeline.compare import comparison
from pipeline.exports import layouts
from pipeline.models.folder import check_sums
from pipeline.project import Project
from pipeline.recognition import seal

OF_MODELS = (SUMS, "metrics.json", "curve.jsonl", "initialization.json")  # beside the files that make the model
OF_HUBS = ".gitattributes"  # which a hub makes by itself

log = logging.getLogger(__name__)


def export(
    root: Path, name: str, out: Path, force: bool = False, license: str | None = None, layout: str | None = None
) -> Path:
    """Copy a model or variant into the folder `out`, its card as README.md; returns `out`.

    `layout` (pipeline.exports.layouts): a variant is laid out for other runtimes, not copied. Raises BigfootError where the
    name is unknown, the card is missing or damaged, a variant's files are not those that were compared or others lie among
    them, a layout is unknown or not for the variant, or, without `force`, `out` is not empty. `force` overwrites files of the
    same names and keeps all others.
    """
    folder, card = _find(root, name)
    if layout and folder.parent == Project(root).models:
        raise BigfootError(f"{name} is a model: --for takes a variant, such as {name}.int8-onnx")
    _check_files(root, folder)
    if not force and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BigfootError(f"{out} is not empty: name another folder, or add --force to write into it")
    if Path(os.path.realpath(out)).is_relative_to(os.path.realpath(folder)):
        raise BigfootError(f"{out} is {name} itself, or in its folder: name another folder")
    text = _licensed(card, license)
    with new_folder(out):
        if layout:
            layouts.write(folder, out, layout, text)
        else:
            shutil.copytree(folder, out, dirs_exist_ok=True)
            (out / "README.md").write_text(text, encoding="utf-8")
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
    """Upload a model or variant with its card to the repository `repo` of a hub; returns its address.

    A missing repository or branch (`revision`) is created; in one that is there files of other names stay, which is logged.
    The token is HF_TOKEN, or that of `hf auth login`. Raises BigfootError where a check fails or the hub refuses, Away where it
    can't be reached.
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
        raise BigfootError(f"{repo} is not a repository name such as me/small-model: {_line(error)}") from None
    if not (token := get_token()):
        raise BigfootError("no token for the hub: set HF_TOKEN, or run `hf auth login`")
    api = HfApi(endpoint=endpoint and endpoint.rstrip("/"), token=token, library_name="bigfoot")
    with tempfile.TemporaryDirectory(prefix="bigfoot-") as scratch:
        folder = export(root, name, Path(scratch) / name, license=license)
        try:
            api.whoami()
            made = api.create_repo(repo, private=private or None, exist_ok=True)
            if private and not api.repo_info(made.repo_id).private:
                raise BigfootError(f"{repo} is there already, and public: make it private first, or leave out --private")
            if revision:
                api.create_branch(made.repo_id, branch=revision, exist_ok=True)
            api.upload_folder(
                repo_id=made.repo_id, folder_path=folder, revision=revision, commit_message=f"{name}, made by Bigfoot"
            )
            _say_what_stays(api.model_info(made.repo_id, revision=revision).siblings or [], folder, name, repo)
        except BigfootError:
            raise
        except Exception as error:  # the client's exceptions have no common base class
            raise _refused(error, repo, api.endpoint) from None
    return f"{api.endpoint}/{made.repo_id}" + (f"/tree/{revision}" if revision else "")


def _find(root: Path, name: str) -> tuple[Path, Path]:
    """A model's or variant's folder and its card."""
    project = Project(root)
    parents = (project.models, project.variants)
    folders = {path.name: path for parent in parents for path in sorted(parent.glob("*")) if path.is_dir()}
    if (folder := folders.get(name)) is None:
        raise BigfootError(f"no model or variant {name}: known are {', '.join(folders) or 'none, is this the project?'}")
    card = project.card(name)
    if not card.is_file():
        raise BigfootError(f"{name} has no card ({card}): it is not in the last comparison, run `dvc repro compare`")
    return folder, card


def _check_files(root: Path, folder: Path) -> None:
    """Raise BigfootError where files are not as they were made, not those of the card's figures, or there are others."""
    rows = comparison.read(root).rows
    if folder.parent == Project(root).models:
        own = {*names, *OF_MODELS} if (names := check_sums(folder)) else None
        found = comparison.model_mark(folder)
        compared = next((row.model_files for row in rows if row.model == folder.name), None)
    else:
        info = seal.read(folder)
        own, found = {"variant.json", *info["files"]} if info.get("files") else None, seal.mark(info)
        compared = next((row.files for row in rows if row.variant == folder.name), None)
    if compared and compared != found:
        raise BigfootError(f"{folder} was changed after the last comparison, so its card is out of date: run `dvc repro`")
    if own and (others := _files(folder) - own - {"README.md"}):  # without sums it doesn't say which are its own
        raise BigfootError(f"{folder} has files that are not its own ({_listed(others)}), which would be published: move them")


def _files(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if not file.is_dir()}


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _say_what_stays(there: Iterable, sent: Path, name: str, repo: str) -> None:
    """Log the files of a repository that were not sent: an earlier push of another variant may have left them."""
    others = {each.rfilename for each in there} - _files(sent) - {OF_HUBS}
    if others:
        log.warning(
            "%s", one_line(f"{repo} keeps files that are not of {name}: {_listed(others)}; delete them there if not wanted")
        )


def _require_gate(root: Path, name: str) -> None:
    """Raise BigfootError where a variant, or a model in fp32, was compared and doesn't pass the gate."""
    row = next((row for row in comparison.read(root).rows if row.variant in (name, f"{name}.fp32")), None)
    if row is None:
        return
    if not row.gate.passed:
        raise BigfootError(f"{name} doesn't pass the gate ({row.gate.reason}): --force pushes it anyway")


def _licensed(card: Path, license: str | None) -> str:
    """A card's text, with the license that its publisher chose, if any."""
    text = read_text(card, "dvc repro compare")
    if license is None:
        return text
    from huggingface_hub import ModelCard
    from yaml import YAMLError

    try:
        changed = ModelCard(text)
    except (ValueError, YAMLError):
        raise BigfootError(f"{card} is not a model card: {again('dvc repro compare')}") from None
    changed.data["license"] = license
    changed.text = changed.text.replace("until then it is `unknown`", f"here it is `{license}`")
    return str(changed)


def _refused(error: Exception, repo: str, endpoint: str) -> BigfootError:
    """A hub's refusal, or that it can't be reached, as an error with its remedy."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return BigfootError(f"{endpoint} rejects the token (401): set HF_TOKEN again, or run `hf auth login`")
    if status == 403:
        return BigfootError(f"the token may not write to {repo} at {endpoint} (403): use one with write access to it")
    if is_away(error):
        return Away(f"no hub at {endpoint}: {_line(error)}")
    return BigfootError(f"{endpoint} refused {repo}: {_line(error)}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
