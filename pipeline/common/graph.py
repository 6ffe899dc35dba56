"""The stage graph as DVC reads it from dvc.yaml and params.yaml: the stages, what each depends on, and which are stale.

Decision: Prefect's flow and the tests get the graph from DVC itself, so that it is written once, in dvc.yaml.
"""

import contextlib
import hashlib
import json
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.common.errors import BigfootError, Busy
from pipeline.common.files import sha256

if TYPE_CHECKING:
    from dvc.repo import Repo

log = logging.getLogger(__name__)

Graph = Mapping[str, frozenset[str]]  # stage, such as quantize@half-int8-onnx -> the stages whose outs it reads


def read(root: Path | str = ".") -> Graph:
    """All stages, each after the stages that it depends on.

    Raises BigfootError where dvc.yaml or params.yaml can't be read.
    """
    from dvc.stage import PipelineStage

    with _repo(root) as repo:
        edges = repo.index.graph
        stages = {
            stage.name: frozenset(need.name for need in edges.successors(stage) if isinstance(need, PipelineStage))
            for stage in edges
            if isinstance(stage, PipelineStage)
        }
    return {name: stages[name] for name in _in_order(stages)}


def stale(root: Path | str, graph: Graph, wait: bool = False) -> set[str]:
    """The stages that `dvc repro` would look at: those that DVC reports as changed, and all that depend on one of them.

    `wait`: for as long as another dvc holds its lock; else that is a Busy after some seconds.

    This runs one `dvc status` for the whole graph, because one per stage takes a second each.
    """
    with _repo(root, wait) as repo:
        changed = {address.rpartition(":")[2] for address in repo.status()}  # outside `root` the address is ../dvc.yaml:NAME
    return changed & set(graph) | after(graph, changed)


def remote_folders(root: Path | str) -> dict[str, str]:
    """{name: absolute path} of the DVC remotes that are folders."""
    with _repo(root) as repo:
        return {name: remote["url"] for name, remote in repo.config["remote"].items() if "://" not in remote["url"]}


def edited_data(root: Path | str) -> list[Path]:
    """The .dvc files of data that was added by `dvc add` and that has changed since; not of data that is missing here."""
    with _repo(root) as repo:
        added = [stage for stage in repo.index.stages if stage.is_data_source and not stage.deps]
        return [
            Path(stage.path)
            for stage in added
            if any(state == "modified" for out in stage.outs for state in out.status().values())
        ]


def plan(root: Path | str) -> str:
    """One sentence for a person: how many stages `dvc repro` would run, and which."""
    graph = read(root)
    waiting = stale(root, graph)
    if not waiting:
        return f"`dvc repro` has nothing to do: all {len(graph)} stages are up to date"
    # In reverse, so that a kind stands where its last stage runs: the teacher's variants come before the students' training.
    counts = Counter(name.partition("@")[0] for name in reversed(list(graph)) if name in waiting)
    kinds = [kind if count == 1 else f"{count} x {kind}" for kind, count in counts.items()]
    rest = "none is up to date" if len(waiting) == len(graph) else "the others are up to date"
    return f"`dvc repro` runs {len(waiting)} of {len(graph)} stages ({rest}): {', '.join(reversed(kinds))}"


def restore(root: Path | str) -> tuple[list[str], list[str]]:
    """What `dvc repro` would find in its cache, without running a stage: (the stages restored, the outs that were removed).

    dvc.lock knows one run of each stage, DVC's run cache all of them. An out is removed where the stages of params.yaml have
    another one in its place, or none; it stays in the cache. Where files would be lost, a warning names them and all stay.
    """
    from dvc.exceptions import CheckoutError, DvcException
    from dvc.lock import LockError
    from dvc.stage import PipelineStage

    for name in ("dvc", "dvc_data"):
        logging.getLogger(name).setLevel(logging.ERROR)  # the caller says what was restored
    restored: list[str] = []
    with _repo(root) as repo:
        stages = {stage.name: stage for stage in repo.index.graph if isinstance(stage, PipelineStage)}
        for name in read(root):
            stage = stages[name]
            try:
                with repo.lock:
                    if not stage.changed():
                        continue
                    repo.stage_cache.restore(stage)
                    stage.save()
                    stage.dump(update_pipeline=False)
                restored.append(name)
            except LockError:
                raise
            except (DvcException, OSError) as error:  # it never ran on these deps and params, or a dep is not there
                log.debug("%s is not restored: %s", name, error)
    with _repo(root) as repo:  # opened again, so that it reads the new dvc.lock
        try:
            removed = repo.checkout()["deleted"]
        except CheckoutError as error:  # dvc.lock names files that the cache lacks: `dvc pull` may have them
            removed = error.result["deleted"]
        except LockError:
            raise
        except DvcException as error:  # files that an interrupted stage left are in no cache
            removed = []
            files = ", ".join(str(error).splitlines()[1:])
            log.warning("no output is removed, since DVC has not saved all of them: %s", files or error)
    return restored, removed


def stage_of(model: str) -> str:
    """The stage that trains a model."""
    return "teacher" if model == "teacher" else f"student@{model}"


def recorded(lock: Path) -> dict[str, dict]:
    """The stages in a dvc.lock, {name: what DVC recorded of its last run}; {} where there is no such file.

    Stages that are gone stay in it. Raises BigfootError where it is damaged.
    """
    from ruamel.yaml import YAML, YAMLError

    if not lock.is_file():
        return {}
    try:
        content = YAML(typ="safe").load(lock) or {}
        return dict(content.get("stages") or {})
    except (YAMLError, AttributeError, ValueError, TypeError):
        raise BigfootError(f"{lock} is damaged, or has a merge conflict: resolve it, or `git checkout {lock}`") from None


def code(stage: str) -> list[Path]:
    """The Python files that dvc.yaml declares as code deps of a stage, sorted; `student` stands for every student@NAME.

    This reads the dvc.yaml beside this package, so the files are those of the code that runs.
    """
    from ruamel.yaml import YAML

    root = Path(__file__).parents[2]
    entry = YAML(typ="safe").load(root / "dvc.yaml")["stages"][stage]
    rooms = [root / dep for dep in entry.get("do", entry)["deps"] if dep.startswith("pipeline/")]
    return sorted(file for room in rooms for file in ([room] if room.is_file() else room.rglob("*.py")))


def fingerprint(stage: str, settings: str, files: Iterable[Path]) -> str:
    """Of all that decides what a stage makes, as 16 hexadecimal digits: settings, the stage's code and the files it reads."""
    digest = hashlib.sha256(settings.encode())
    for file in [*code(stage), *files]:
        digest.update(file.name.encode() + bytes.fromhex(sha256(file)))
    return digest.hexdigest()[:16]


def after(graph: Graph, stages: Iterable[str]) -> set[str]:
    """All stages that depend, directly or indirectly, on one of `stages`."""
    dependents: set[str] = set()
    stages = set(stages)
    for name, needs in graph.items():  # in order, so one pass is enough
        if needs & (stages | dependents):
            dependents.add(name)
    return dependents


def up_to(graph: Graph, targets: Iterable[str]) -> Graph:
    """The part of the graph that `targets` need, targets included; `student` stands for every student@NAME.

    Raises BigfootError where a target is not a stage.
    """
    wanted: set[str] = set()
    for target in targets:
        matches = {name for name in graph if name == target or name.startswith(f"{target}@")}
        if not matches:
            raise BigfootError(f"there is no stage {target}: dvc.yaml has {', '.join(graph)}")
        wanted |= matches
    for name in reversed(list(graph)):
        if name in wanted:
            wanted |= graph[name]
    return {name: needs for name, needs in graph.items() if name in wanted}


def _in_order(graph: Graph) -> Iterator[str]:
    """Every stage after the stages that it needs, otherwise in DVC's order."""
    done: set[str] = set()
    while len(done) < len(graph):
        ready = [name for name, needs in graph.items() if name not in done and needs <= done]
        yield from ready
        done.update(ready)


@contextlib.contextmanager
def _repo(root: Path | str, wait: bool = False):
    from dvc.exceptions import DvcException
    from dvc.lock import LockError
    from dvc.repo import Repo

    try:
        with Repo(str(root), _wait_for_lock=wait) as repo:  # as `dvc --wait-for-lock`
            _unblock(repo)
            yield repo
    except LockError:
        raise Busy(f"another dvc works in {root}: wait for it, or stop it") from None
    except DvcException as error:
        raise BigfootError(f"DVC can't read the stages of {root}: {' '.join(str(error).split())}") from None
    except (FileNotFoundError, PermissionError) as error:  # of what it watches: a link that leads nowhere, or no permission
        raise BigfootError(f"DVC can't read {error.filename} ({error.strerror}): mend it, or take it out of the data") from None


def _unblock(repo: "Repo") -> None:
    """Remove DVC's list of who reads and writes what, where a dvc that was killed left it cut off.

    Until then every dvc refuses to work here. The list is of running processes alone, so nothing is lost.
    """
    from dvc.lock import make_lock
    from dvc.rwlock import RWLOCK_FILE, RWLOCK_LOCK

    path = Path(repo.tmp_dir or "") / RWLOCK_FILE
    if _is_whole(path):
        return
    hardlink = repo.config["core"].get("hardlink_lock", False)
    with make_lock(str(path.with_name(RWLOCK_LOCK)), repo.tmp_dir, hardlink_lock=hardlink):
        if not _is_whole(path):  # and no dvc is just writing it
            path.unlink()
            log.warning("%s is removed: a dvc that was killed left it cut off, and no other could work", path)


def _is_whole(path: Path) -> bool:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return True
    except ValueError:
        return False
    except OSError as error:
        raise BigfootError(f"{path}, DVC's list of running processes, can't be read ({error.strerror}): remove it") from None
    if not isinstance(content, dict) or not set(content) <= {"read", "write"}:
        return False
    return all(isinstance(files, dict) for files in content.values())
