"""RESULTS.md and README's tables, written from kept result files alone: no figure in a table is typed by hand.

`results/PROFILE/` holds what `compare` wrote when the profile was last run for publication (comparison.json, comparison.md,
pareto.svg) and, where there is something to say about the run, notes.md, which a person writes: small text files under git,
so that a change of a published figure is a diff. `bigfoot results` keeps the reports of the run on disk there, and writes both
documents anew from all that is kept. Two kept texts are of commands that are no more, and are appended as they are:
results/digits/peers.md and results/paper/paper_scale.md.
"""

import shutil
from pathlib import Path

from pipeline.common import tables
from pipeline.common.errors import BigfootError
from pipeline.compare import comparison, figures
from pipeline.compare.comparison import Row
from pipeline.compare.report import markdown
from pipeline.project import Project

KEPT = ("comparison.json", "comparison.md", "pareto.svg")
PAPER_SCALE = Path("paper/paper_scale.md")
FIRST = ("digits", "quickstart")  # people before synthesis; whatever else is kept follows by name
TITLES = {
    "digits": "Connected digits: real human speech",
    "quickstart": "Quickstart: SYNTHETIC speech",
    "paper_scale": "Paper scale",
    "ablations": "Ablations: what each choice of the defaults is worth, on connected digits",
}
NOT_IN_README = {"ablations", "paper_scale"}  # students trained shortly, to be compared with one another; UNTRAINED models


def keep(root: Path) -> Path | None:
    """Copy the reports on disk to results/PROFILE, and return that; None where there are none."""
    if not comparison.exists(root):
        return None
    folder = Project(root).results / comparison.read(root).params["profile"]
    folder.mkdir(parents=True, exist_ok=True)
    for name in KEPT:
        (folder / name).unlink(missing_ok=True)
        if (file := Project(root).reports / name).is_file():  # of UNTRAINED models there is no picture
            shutil.copyfile(file, folder / name)
    return folder


def write(root: Path) -> None:
    """RESULTS.md whole, README.md between its markers from results/*, and the glossary of figures in docs/numbers.md."""
    folders = sorted((file.parent for file in Project(root).results.glob("*/comparison.json")), key=_place)
    page, kept = results_page(folders), Project(root).results / PAPER_SCALE
    page += f"\n{kept.read_text(encoding='utf-8')}" if kept.is_file() else ""
    (root / "RESULTS.md").write_text(page, encoding="utf-8")
    _fill(root / "README.md", "results", "\n\n".join(_short(folder) for folder in folders if folder.name not in NOT_IN_README))
    _fill(root / "docs" / "numbers.md", "figures", glossary())


def glossary() -> str:
    """The list of figures as a table in Markdown."""
    return tables.markdown(["Figure", "Unit", "What it is", "Column"], figures.glossary())


def _fill(file: Path, name: str, content: str) -> None:
    """Write `content` between the markers of that name."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, has_begin, rest = file.read_text(encoding="utf-8").partition(begin)
    _, has_end, after = rest.partition(end)
    if not has_begin or not has_end:
        raise BigfootError(f"{file} has no {begin} ... {end}: put the markers where its tables belong")
    file.write_text(f"{before}{begin}\n{content}\n{end}{after}", encoding="utf-8")


def results_page(folders: list[Path]) -> str:
    """RESULTS.md: the whole comparison of every kept profile, with the command that makes it again."""
    parts = ["# Results", "", "Written by `bigfoot results` from `results/`. The columns: [docs/numbers.md](docs/numbers.md)."]
    for folder in folders:
        whole = _comparison(folder).replace("# Comparison", f"## {_title(folder)}", 1)
        parts += ["", whole.rstrip(), ""]
        if (folder / "pareto.svg").is_file():
            parts += [f"![WER against size and latency](results/{folder.name}/pareto.svg)", ""]
        parts += [f"Again: `{markdown.REPRODUCE.format(profile=folder.name)}`"]
        for notes in (folder / "peers.md", folder / "notes.md"):
            parts += ["", notes.read_text(encoding="utf-8").rstrip()] if notes.is_file() else []
    return "\n".join(parts) + "\n"


def _comparison(folder: Path) -> str:
    """comparison.md, its table written anew from comparison.json, so that no figure of either can part from the other."""
    lines = (folder / "comparison.md").read_text(encoding="utf-8").splitlines()
    begin = next((at for at, line in enumerate(lines) if line.startswith("| Variant ")), None)
    if begin is None:
        raise BigfootError(f"{folder / 'comparison.md'} has no table of variants: run `bigfoot results` after a comparison")
    end = next((at for at, line in enumerate(lines) if at > begin and not line.startswith("|")), len(lines))
    return "\n".join([*lines[:begin], markdown.whole_table(_rows(folder)), *lines[end:]])


def _short(folder: Path) -> str:
    rows = _rows(folder)
    shown = markdown.for_readme(rows)
    of = f"{len(shown)} of {len(rows)} variants: each model's fastest, and those that none beats in WER, MB and latency at once"
    return f"**{_title(folder)}** ({of}; [all figures, machine, intervals](RESULTS.md))\n\n{markdown.short_table(shown)}"


def _rows(folder: Path) -> list[Row]:
    return comparison.read_rows(folder / "comparison.json", "git checkout results")


def _title(folder: Path) -> str:
    return TITLES.get(folder.name, folder.name.capitalize())


def _place(folder: Path) -> tuple[int, str]:
    return (FIRST.index(folder.name) if folder.name in FIRST else len(FIRST), folder.name)
