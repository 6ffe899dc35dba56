"""RESULTS.md and README's tables, written from the files in results/ alone: no figure in a table is typed by hand.

`results/PROFILE/` holds the output of `compare` from the profile's last published run (comparison.json, comparison.md,
pareto.svg) and, optionally, two texts written by hand: notes.md, and elsewhere.md, a sentence on what another CPU gives,
which stands in README too. All are small text files under git, so that a change of a published figure is a diff. A champion of
at most a megabyte is kept as well, in champion/: its variant folder as it was made, with its card, so that a clone can
transcribe at once. `bigfoot results` copies what is on disk there, and writes both documents again from all of results/. One
text comes from a command that no longer exists, and is appended as well: results/paper/paper_scale.md. Links in these texts
lead from their own folder; in RESULTS.md they lead from the project's.
"""

import re
import shutil
from pathlib import Path

from pipeline.apps import push
from pipeline.common import host, tables
from pipeline.common.errors import BigfootError
from pipeline.common.files import read_text
from pipeline.compare import comparison, figures
from pipeline.compare.comparison import Row
from pipeline.compare.report import markdown
from pipeline.params import table
from pipeline.project import Project

FIGURES, REPORT = Project().comparison.name, Project().report.name
KEPT = (FIGURES, REPORT, "pareto.svg")
ELSEWHERE = "elsewhere.md"
CHAMPION, LARGEST_MB = "champion", 1.0
PAPER_SCALE = Path("paper/paper_scale.md")
FIRST = ("commands", "digits", "quickstart")  # people before synthetic speech; all others follow by name
TITLES = {
    "commands": "Arabic commands: real human speech, speakers that no model has heard",
    "digits": "Connected digits: real human speech, speakers of the training",
    "quickstart": "Quickstart: SYNTHETIC speech",
    "paper_scale": "Paper scale",
    "ablations": "Ablations: the effect of each default, on connected digits",
}
NOT_IN_README = {"ablations", "paper_scale"}  # students with short trainings, to be compared with one another; UNTRAINED models
IN_README = 2  # tables, the first ones; RESULTS.md has all


def keep(root: Path, license: str | None = None) -> Path | None:
    """Copy the reports on disk to results/PROFILE, and return that folder; None where there are no reports.

    `license`: of the champion's weights, for its card; by default that of the profile's card before. Raises BigfootError where
    one is given and no champion is kept.
    """
    if not comparison.exists(root):
        if license:
            raise BigfootError(f"--license {license}: no comparison is on disk to publish: run `dvc repro`, or leave it out")
        return None
    folder = Project(root).results / comparison.read(root).params["profile"]
    folder.mkdir(parents=True, exist_ok=True)
    _keep_champion(root, folder / CHAMPION, license)
    for name in KEPT:
        (folder / name).unlink(missing_ok=True)
        if (file := Project(root).reports / name).is_file():  # UNTRAINED models have no plot
            shutil.copyfile(file, folder / name)
    return folder


def _license(card: Path) -> str | None:
    """The license that a card states, if any."""
    from huggingface_hub import ModelCard

    stated = ModelCard.load(card).data.license if card.is_file() else None
    return None if stated == "unknown" else stated


def _keep_champion(root: Path, folder: Path, license: str | None) -> None:
    """Copy the champion and its card, if it is small, in place of that of before; it has to be what was compared."""
    row = comparison.read(root).champion
    if row is None or row.known("disk_mb") > LARGEST_MB:
        if license:
            raise BigfootError(f"--license {license}: no champion of at most {LARGEST_MB:g} MB to keep: leave it out")
        shutil.rmtree(folder, ignore_errors=True)
        return
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    push.export(root, row.variant, new, license=license or _license(folder / "README.md"))
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def write(root: Path) -> None:
    """Write RESULTS.md and the tables of results/; and in README.md and docs/ what stands between their markers."""
    if not (root / "README.md").is_file():
        raise BigfootError(f"{root / 'README.md'} is missing: run this in the project's folder")
    folders = sorted((file.parent for file in Project(root).results.glob(f"*/{FIGURES}")), key=_place)
    page, kept = results_page(folders), Project(root).results / PAPER_SCALE
    page += f"\n{_text(kept)}" if kept.is_file() else ""
    shown = [folder for folder in folders if folder.name not in NOT_IN_README][:IN_README]
    _fill(root / "README.md", "results", "\n\n".join(_short(folder) for folder in shown))
    (root / "RESULTS.md").write_text(page, encoding="utf-8")
    for folder in folders:
        (folder / REPORT).write_text(f"{_comparison(folder)}\n", encoding="utf-8")
    _fill(root / "docs" / "numbers.md", "figures", glossary())
    _fill(root / "docs" / "params.md", "params", table.text())


def glossary() -> str:
    """The list of figures as a table in Markdown."""
    return tables.markdown(["Figure", "Unit", "What it is", "Column"], figures.glossary())


def _fill(file: Path, name: str, content: str) -> None:
    """Replace the text between the markers with this name."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, has_begin, rest = read_text(file, f"git checkout {file}").partition(begin)
    _, has_end, after = rest.partition(end)
    if not has_begin or not has_end:
        raise BigfootError(f"{file} has no {begin} ... {end}: put the markers where its tables belong")
    file.write_text(f"{before}{begin}\n{content}\n{end}{after}", encoding="utf-8")


def results_page(folders: list[Path]) -> str:
    """RESULTS.md: the whole comparison of every published profile, with the command that reproduces it."""
    parts = ["# Results", "", "Written by `bigfoot results` from `results/`. The columns: [docs/numbers.md](docs/numbers.md)."]
    for folder in folders:
        whole = _comparison(folder).replace("# Comparison", f"## {_title(folder)}", 1)
        parts += ["", whole.rstrip(), ""]
        if (folder / "pareto.svg").is_file():
            parts += [f"![Errors against size and latency](results/{folder.name}/pareto.svg)", ""]
        profile, commands = f"profiles/{folder.name}.yaml", markdown.REPRODUCE.format(profile=folder.name)
        parts += [f"Reproduce, with the data that the first lines of [{profile}]({profile}) name: `{commands}`"]
        for notes in (folder / ELSEWHERE, folder / "notes.md"):
            parts += ["", _text(notes).rstrip()] if notes.is_file() else []
    return "\n".join(parts) + "\n"


def _text(file: Path) -> str:
    """A text in results/FOLDER, its links as they lead from the project's folder."""
    return read_text(file, "git checkout results").replace("](../../", "](")


def _comparison(folder: Path) -> str:
    """comparison.md, its table written again from comparison.json, so that the two files can't differ in a figure."""
    lines = read_text(folder / REPORT, "git checkout results").splitlines()
    begin = next((at for at, line in enumerate(lines) if line.startswith("| Variant ")), None)
    if begin is None:
        raise BigfootError(f"{folder / REPORT} has no table of variants: run `bigfoot results` after a comparison")
    end = next((at for at, line in enumerate(lines) if at > begin and not line.startswith("|")), len(lines))
    return "\n".join([*lines[:begin], markdown.whole_table(_rows(folder)), *lines[end:]])


def _short(folder: Path) -> str:
    rows = _rows(folder)
    selected = markdown.for_readme(rows)
    more = f"[all figures](RESULTS.md#{_anchor(folder)})"
    facts = [f"{len(selected)} of {len(rows)} variants", _unit(folder), _allowed(folder), _machine(folder), more]
    about = "; ".join(filter(None, facts))
    table = f"**{_title(folder)}** ({about})\n\n{markdown.short_table(selected)}"
    elsewhere = folder / ELSEWHERE
    return f"{table}\n\n{_text(elsewhere).strip()}" if elsewhere.is_file() else table


def _unit(folder: Path) -> str:
    """What intervals of errors resample, by comparison.md: "errors: intervals of utterances, of 6 speakers"; "" if unknown."""
    report = _text(folder / REPORT)
    unit = re.search(r"^- \*\*[WC]ER\*\*: first test set .*resampling (\w+)", report, re.MULTILINE)
    speakers = re.search(r"^- \*\*Test\*\*: .*?(\d+ speakers?)", report, re.MULTILINE)
    if not unit:
        return ""
    return f"errors: intervals of {unit[1]}" + (f", of {speakers[1]}" if speakers and unit[1] != "speakers" else "")


def _allowed(folder: Path) -> str:
    """The largest rise that the gate allows, by comparison.md: "rise allowed: 1.5 points on gate"; "" if unknown."""
    allowed = re.search(r"^- .* gate [WC]ER .*(?:within|more than the) (\d+\.\d+)", _text(folder / REPORT), re.MULTILINE)
    return f"rise allowed: {float(allowed[1]):g} points on gate" if allowed else ""


def _machine(folder: Path) -> str:
    """What was timed on, by comparison.md: "AMD EPYC, 2 cores, 2 threads, VNNI and bfloat16"; "" if unknown."""
    report = _text(folder / REPORT)
    found = re.search(r"^- \*\*Machine\*\*: [^:]*: (.*?, \d+ cores)((?:, [a-z0-9_]+)*), ", report, re.MULTILINE)
    threads = re.search(r"^- \*\*Times\*\*: .*?, (\d+ threads?),", report, re.MULTILINE)
    if not found or not threads:
        return ""
    return ", ".join(filter(None, [found[1], threads[1], host.instructions(found[2].split(", "))]))


def _rows(folder: Path) -> list[Row]:
    return comparison.read_rows(folder / FIGURES, "git checkout results")


def _title(folder: Path) -> str:
    return TITLES.get(folder.name, folder.name.capitalize())


def _anchor(folder: Path) -> str:
    """Where its heading in RESULTS.md is, as forges and MkDocs name headings."""
    return re.sub(r"[^\w -]", "", _title(folder).lower()).replace(" ", "-")


def _place(folder: Path) -> tuple[int, str]:
    return (FIRST.index(folder.name) if folder.name in FIRST else len(FIRST), folder.name)
