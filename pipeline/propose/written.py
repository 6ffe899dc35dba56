"""Writes what is proposed into params.yaml, as students and variants; all else stays, nothing is trained."""

import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.common.errors import BigfootError
from pipeline.common.files import write_whole
from pipeline.params import Budget, Params, Training
from pipeline.project import load_params
from pipeline.propose.shapes import Shape

PREFIX = "propose_"
WIDTH = 100  # of a section's text, in a line
STEPS, RATE = 2000, 1e-3  # where no student of params.yaml says how students are trained


def write(file: Path, params: Params, chosen: Sequence[tuple[str, Shape, str]], budget: Budget) -> str:
    """Put each (student, shape, scheme) into a params file, in place of earlier proposals; returns what was done.

    The budget goes there too, with what the benchmark has to measure and the gate to judge, so that the report can say what
    came of it. Lines are added, changed and removed, all others stay. Raises BigfootError, and changes nothing, where the file
    would not be valid: another student may come from an earlier proposal.
    """
    write_whole(file, _written(file, params, chosen, budget))
    old = [name for name in params.students if _is_proposed(name)]
    replaced = f" in place of {', '.join(old)}" if old else ""
    also = ", ".join(f"{section}.{key}" for section, key in _asked(params, budget))
    names = dict.fromkeys(name for name, *_ in chosen)
    done = f"{file} has the students {', '.join(names)}{replaced}, with {len(chosen)} variants"
    return f"{done}; for the budget it also sets {also}; next: dvc repro"


def require_room(file: Path, params: Params, budget: Budget) -> None:
    """Raise BigfootError where `write` would, before anything is computed; or where another line names an earlier proposal."""
    _written(file, params, [(f"{PREFIX}0", {}, next(iter(params.schemes)))], budget)


def _written(file: Path, params: Params, chosen: Sequence[tuple[str, Shape, str]], budget: Budget) -> str:
    """The text of a params file with these proposals, which was read again."""
    from ruamel.yaml import YAMLError

    learning, changes = _learning(params), _asked(params, budget)
    students = {name: {"from": "teacher", **shape, **learning} for name, shape, _ in chosen}
    variants = {f"{name}-{scheme}": {"model": name, "scheme": scheme} for name, _, scheme in chosen}
    trial = file.with_name(f".{file.name}.trial")
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        lines = _replaced(_replaced(lines, "students", students), "variants", variants)
        for (section, key), value in changes.items():
            lines = _set(lines, section, key, value)
        text = "\n".join(lines) + "\n"
        write_whole(trial, text)
        now = load_params(trial).model_dump(exclude_none=True) if _is_yaml(text) else {}
        if lost := [f"{section}.{key}" for (section, key), value in changes.items() if now.get(section, {}).get(key) != value]:
            raise BigfootError(
                f"{' and '.join(lost)} can't be written: put each on one line, lists in brackets, sections in braces"
            )
        return text
    except BigfootError as error:
        reason = str(error).replace(str(trial), str(file))
        raise BigfootError(f"{reason} (with the proposals written; {file} is unchanged)") from None
    except YAMLError:
        raise BigfootError(
            f"{file}: earlier proposals can't be replaced: write each as indented lines without braces, or delete them"
        ) from None
    finally:
        trial.unlink(missing_ok=True)


def _is_yaml(text: str) -> bool:
    from ruamel.yaml import YAML, YAMLError

    try:
        YAML(typ="safe").load(text)
    except YAMLError:
        return False
    return True


def _replaced(lines: list[str], section: str, entries: dict[str, dict]) -> list[str]:
    """The lines with these entries first in a section, without those of earlier proposals."""
    from ruamel.yaml import YAML

    content = YAML().load("\n".join(lines))
    known, head = content[section], content.lc.key(section)[0]
    if known and known.fa.flow_style():
        raise BigfootError(f"params.yaml: {section} is in braces: put each of its entries on a line of its own")
    column = min((known.lc.key(key)[1] for key in known), default=2)
    old = {number for key in known if _is_proposed(key) for number in _entry(lines, known.lc.key(key)[0], column)}
    added = [" " * column + line for key, entry in entries.items() for line in _yaml({key: entry})]
    first = lines[head] if known else re.sub(r" *\{ *\}", "", lines[head], count=1)
    rest = [line for number, line in enumerate(lines) if number > head and number not in old]
    return [*lines[:head], first, *added, *rest]


def _asked(params: Params, budget: Budget) -> dict[tuple[str, str], object]:
    """{(section, key): value} of what the budget changes in params.yaml beside students and variants."""
    changes: dict[tuple[str, str], object] = {("gate", "budget"): budget.model_dump(exclude_none=True)}
    if budget.max_wer_rise is not None:
        changes["gate", "max_rise"] = round(budget.max_wer_rise / 100, 6)
    if budget.threads != params.benchmark.threads:
        changes["benchmark", "threads"] = budget.threads
    if budget.length not in params.benchmark.lengths:
        changes["benchmark", "lengths"] = sorted([*params.benchmark.lengths, budget.length])
    return changes


def _set(lines: list[str], section: str, key: str, value: object) -> list[str]:
    """The lines with another value of a key in a section that is in braces, or has a line per key."""
    head = next((number for number, line in enumerate(lines) if line.startswith(f"{section}:")), None)
    if head is None:
        raise BigfootError(f"{section}.{key} can't be written: begin a line with {section}:, without quotes")
    end = next((n for n in range(head + 1, len(lines)) if lines[n][:1] not in ("", " ", "#")), len(lines))
    text, (written,) = "\n".join(lines[head:end]), _yaml({key: value}, sys.maxsize)
    known = re.search(rf"^(?:[^#\n]*[^\w.#])?({key}: *(?:\{{[^{{}}]*\}}|\[[^][]*\]|[^\s,}}#]+))", text, re.MULTILINE)
    if known:
        text = text[: known.start(1)] + written + text[known.end(1) :]
    elif braces := re.match(rf"{section}:[ \n]*\{{", text):
        text = text[: braces.end()] + f"{written}, " + text[braces.end() :]
    else:
        first, _, rest = text.partition("\n")
        text = f"{first}\n  {written}\n{rest}"
    return [*lines[:head], *text.split("\n"), *lines[end:]]


def _entry(lines: list[str], start: int, column: int) -> range:
    """The numbers of the lines of an entry that starts in line `start` at this column: to the last that is further right."""
    end = start + 1
    for number in range(end, len(lines)):
        is_deeper, text = lines[number][: column + 1].isspace(), lines[number].strip()
        if is_deeper and text:
            end = number + 1
        elif text and not text.startswith("#"):
            break
    return range(start, end)


def _is_proposed(name: str) -> bool:
    """Whether a student or variant of this name was proposed: propose_1, propose_1-int8-onnx."""
    return re.match(rf"{PREFIX}\d+(-|$)", name) is not None


def _yaml(entry: dict, width: int = WIDTH) -> list[str]:
    """An entry as lines of YAML: lists in one line, and sections without sections in them where they fit in this width."""
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    def inline(value):
        if isinstance(value, dict) and (len(str(value)) > width or any(isinstance(each, dict) for each in value.values())):
            return {key: inline(each) for key, each in value.items()}
        if isinstance(value, dict | list):
            value = CommentedMap(value) if isinstance(value, dict) else CommentedSeq(value)
            value.fa.set_flow_style()
        return value

    yaml, text = YAML(), io.StringIO()
    yaml.width = sys.maxsize
    yaml.dump({key: inline(value) for key, value in entry.items()}, text)
    return text.getvalue().splitlines()


def _learning(params: Params) -> dict:
    """How a proposed student is trained: as the first student of params.yaml that is cut from the teacher and trained.

    Not as one that needs the teacher's own feature encoder, which proposals don't keep.
    """
    for name, student in params.students.items():
        cut = student.parent == "teacher" and student.init == "parent" and student.distillation.features == "computed"
        if cut and student.training and not _is_proposed(name):
            said = student.model_dump(mode="json", by_alias=True, exclude_unset=True)
            return {key: said[key] for key in ("config", "distillation", "training") if key in said}
    default = Training(steps=STEPS, learning_rate=RATE)
    return {"training": default.model_dump(mode="json", exclude_unset=True)}
