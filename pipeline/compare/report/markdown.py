"""The comparison for people: one table and one list of facts, written as Markdown, for the terminal and as a page.

A figure is worth as much as what is said beside it, so every form opens with the same facts: which corpus, whether
it is SYNTHETIC, how much was heard, what the intervals resample, which machine took the times and when, and which
sentences or speakers train shares with the tests. Written anew from the same files, everything is the same byte for byte.
"""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.common.host import kind
from pipeline.compare.origin import Origin
from pipeline.compare.report import columns, plots
from pipeline.compare.report.cautions import cautions
from pipeline.compare.report.columns import or_dash, percent
from pipeline.compare.report.page import Told, page
from pipeline.compare.report.page.data import REPRODUCE, origin_facts
from pipeline.compare.report.page.errors import pairs, telling
from pipeline.compare.report.page.headline import champion_of, verdict

if TYPE_CHECKING:
    from pipeline.compare.inputs import Evidence
    from pipeline.params import Params

__all__ = ["REPRODUCE", "facts_of", "short_table", "table", "timing_facts", "write"]

GROUPS, WORST = 8, 5  # of a breakdown, of the worst utterances, in Markdown; the page has more


def write(
    out: Path,
    rows: list[dict],
    evidence: "Evidence",
    params: "Params",
    origin: Origin,
    breakdown: dict | None = None,
    worst: list[dict] | None = None,
) -> None:
    """comparison.md, table.txt, index.html, plots/*.csv and, of trained models, pareto.svg into the folder `out`.

    breakdown and worst are the contents of breakdown.json and worst.json; without them their parts are left out.
    """
    out.mkdir(parents=True, exist_ok=True)
    rows = [rows[0], *sorted(rows[1:], key=lambda row: -(row["disk_mb"] or 0))]
    shown = columns.of(rows)
    told = Told(rows, shown, facts_of(evidence), evidence, params, origin, breakdown, worst)
    panels = plots.panels(rows)
    if panels:
        (out / "pareto.svg").write_text(plots.pareto(panels), encoding="utf-8")
    plots.tables(out / "plots", rows, evidence.curves)
    (out / "comparison.md").write_text(_markdown(told), encoding="utf-8")
    (out / "table.txt").write_text(_terminal(told), encoding="utf-8")
    (out / "index.html").write_text(page(told, panels), encoding="utf-8")


# ---------------------------------------------------------------- what is said


def facts_of(evidence: "Evidence") -> list[tuple[str, str]]:
    """[(what, the fact)]: what one has to know to read the table rightly."""
    corpus, first = evidence.corpus, evidence.test_sets[0]
    one = evidence.scores["teacher.fp32"]["sets"][first]
    is_made = "SYNTHETIC, spoken by no person: " if corpus.get("synthetic") else ""
    facts = [("Corpus", f"{corpus['name']} ({is_made}{corpus.get('about') or corpus['source']}), {corpus['license']}")]
    facts += [(name.capitalize(), _size(corpus["splits"][name])) for name in (*evidence.test_sets, "dev", "train")]
    if not evidence.untrained:
        facts.append(("WER", f"first test set ({first}), greedy decoding; intervals: 95%, resampling {one['unit']}"))
    facts += [("Shared", leak) for leak in _leaks(corpus.get("leaks", {}), corpus["splits"])]
    facts += timing_facts(evidence.timings) + _energy_facts(evidence)
    return facts + [("Beware", caution) for caution in cautions(evidence.timings)]


def _size(split: dict) -> str:
    speakers = f", {split['speakers']:,} speakers" if split.get("speakers") else ""
    length = f"{split['seconds'] / 3600:.2f} h" if split["seconds"] >= 3600 else f"{split['seconds'] / 60:.1f} min"
    return f"{split['utterances']:,} utterances, {split['words']:,} words, {length}{speakers}"


def _leaks(leaks: dict[str, dict[str, int]], splits: dict) -> list[str]:
    """['74 of test's 150 utterances have a sentence that train has too', ...]; what is not shared is not mentioned."""
    said = []
    for check, found in leaks.items():
        for pair, count in found.items():
            left, _, right = pair.partition("-")
            if count:
                what = check.removeprefix("shared_")
                said.append(f"{count:,} of {right}'s {splits[right]['utterances']:,} utterances: {what} that {left} has too")
    return said


def timing_facts(timings: dict) -> list[tuple[str, str]]:
    host, sample = timings["host"], timings["sample"]
    measured = f"{timings['measured_at'][:16].replace('T', ' ')} UTC"
    machine = f"{host.get('name')}: {kind(host)}, {or_dash(host.get('memory_gb'), '.0f')} GB"
    return [
        ("Machine", f"{machine}, {host.get('os')}, Python {host.get('python')}"),
        (
            "Times",
            f"{measured}, {timings['threads']} threads, batch 1, {timings['rounds'] * timings['turn']} timings a variant of "
            f"{sample['utterances']} utterances ({sample['seconds']:.0f} s) in {timings['rounds']} shuffled rounds, "
            f"load before {_load(host.get('load_before'))}",
        ),
        ("Versions", ", ".join(f"{name} {version}" for name, version in timings.get("versions", {}).items())),
    ]


def _energy_facts(evidence: "Evidence") -> list[tuple[str, str]]:
    """How the energy of inference and of training was found out."""
    figures = {"inference": evidence.timings["variants"].values(), "training": evidence.training.values()}
    modes = [(what, str(one["energy_mode"])) for what, rows in figures.items() for one in rows if one.get("energy_mode")]
    notes = [one["energy_note"] for one in evidence.timings["variants"].values() if one.get("energy_note")]
    mix = f", electricity of {country}" if (country := evidence.country) else ""
    facts = [("Energy", f"of {what}: codecarbon, {mode}{mix}") for what, mode in dict.fromkeys(modes)]
    return facts + [("Energy", note) for note in dict.fromkeys(notes)]


def _load(load: object) -> str:
    load = load[0] if isinstance(load, list) and load else load
    return f"{load:.2f}" if isinstance(load, int | float) else "unknown"


# ---------------------------------------------------------------- the table


IN_README = ("Variant", "WER % [95%]", "Rise, points", "MB", "Smaller", "p50 ms", "Faster [95%]", "Gate")
LOWER_IS_BETTER = ("wer", "disk_mb", "latency_p50_ms")
IN_TERMINAL = ("Variant", "WER % [95%]", "Dev WER %", "MB", "Smaller", "p50 ms", "Faster [95%]", "Gate")


def _markdown(told: Told) -> str:
    title = "# Comparison: UNTRAINED models" if columns.untrained(told.rows) else "# Comparison"
    lines = [title, "", _escaped(verdict(told.rows)), ""]
    lines += [f"- **{what}**: {_escaped(fact)}" for what, fact in told.facts + origin_facts(told.origin, told.params)]
    lines += ["", whole_table(told.rows)]
    if columns.untrained(told.rows):
        return "\n".join(lines) + "\n"
    lines += ["", "Gate, on dev:", "", *(f"- {row['variant']}: {row['gate']['reason']}" for row in told.rows)]
    return "\n".join(lines + _by_length_of_audio(told.rows) + _breakdown(told) + _worst(told.worst)) + "\n"


def _by_length_of_audio(rows: list[dict]) -> list[str]:
    """Latency of the teacher and the champion at each length that was timed."""
    if (champion := champion_of(rows)) is None:
        return []
    best = dict(plots.lengths(champion))
    timed = [{"seconds": s, "teacher": ms, "champion": best[s]} for s, ms in plots.lengths(rows[0]) if s in best]
    heads = {
        "Audio, s": lambda one: f"{one['seconds']:g}",
        f"{rows[0]['variant']}, ms": lambda one: f"{one['teacher']:.1f}",
        f"{champion['variant']}, ms": lambda one: f"{one['champion']:.1f}",
        "Faster": lambda one: f"{one['teacher'] / one['champion']:.1f}x",
    }
    return ["", "By length of audio, medians of a few hearings each:", "", table(timed, heads)] if timed else []


def _breakdown(told: Told) -> list[str]:
    """WER of the teacher and the champion by each factor, of each test set."""
    names = [row["variant"] for row in (told.rows[0], champion_of(told.rows)) if row]
    lines = []
    by_set = (told.breakdown or {}).get("sets", {})
    for test, factor, groups in ((test, *one) for test, by in by_set.items() for one in by.items()):
        shown, left_out = telling(groups, told.rows, GROUPS)
        heads = {
            factor.capitalize(): lambda group: str(group["group"]),
            "Utterances": lambda group: f"{group['utterances']:,}",
            "Words": lambda group: f"{group['words']:,}",
            **{f"{name}, WER %": lambda group, name=name: percent(group["wer"].get(name)) for name in names},
        }
        lines += ["", f"{test} by {factor}{left_out}:", "", table(shown, heads)] if shown else []
    return lines


def _worst(worst: list[dict] | None) -> list[str]:
    """Reference and variant, word by word: [said > heard] where they differ."""
    lines = []
    for test in dict.fromkeys(one["set"] for one in worst or []):
        lines += ["", f"The worst utterances of {test}, as [said > heard]:", ""]
        for one in [one for one in worst if one["set"] == test][:WORST]:
            words = (said if said == heard else f"[{said} > {heard}]" for said, heard in pairs(one["alignment"]))
            head = f"{one['id']}, {one['variant']} {one['errors']} wrong, the teacher {one['teacher_errors']}"
            lines.append(f"- {_escaped(head)}: {_escaped(' '.join(words))}")
    return lines


def for_readme(rows: list[dict]) -> list[dict]:
    """The teacher, each model's fastest variant, the champion, and what none beats in WER, MB and median latency at once."""
    measured = [[row.get(key) for key in LOWER_IS_BETTER] for row in rows]
    complete = [figures for figures in measured if None not in figures]

    def is_unbeaten(mine: list) -> bool:
        others = (theirs for theirs in complete if theirs != mine)
        return mine in complete and not any(all(a <= b for a, b in zip(theirs, mine, strict=True)) for theirs in others)

    fastest = {row["model"]: row for row in sorted(rows, key=lambda row: row.get("speedup") or 0.0)}
    return [
        row
        for row, mine in zip(rows, measured, strict=True)
        if row is rows[0] or row["champion"] or row is fastest[row["model"]] or is_unbeaten(mine)
    ]


def short_table(rows: list[dict]) -> str:
    """The table in Markdown with its most telling columns, of the objects in comparison.json."""
    rows = [rows[0], *sorted(rows[1:], key=lambda row: -(row["disk_mb"] or 0))]
    return table(rows, {one.name: one.show for one in columns.known([]) if one.name in IN_README})


def whole_table(rows: list[dict]) -> str:
    """The table in Markdown with all its columns, of the objects in comparison.json."""
    return table(rows, {one.name: one.show for one in columns.of(rows) if not one.page_only})


def table(rows: list[dict], columns: dict[str, Callable[[dict], str]]) -> str:
    """A table in Markdown, a line a row: columns are {heading: what a row shows there}."""
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return "\n".join([*lines, *(f"| {' | '.join(_escaped(show(row)) for show in columns.values())} |" for row in rows)])


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _terminal(told: Told) -> str:
    """The table in columns that line up, and beneath it the facts that a reader of figures must not miss."""
    shown = [one for one in told.columns if one.name in IN_TERMINAL]
    cells = [[one.name for one in shown], *([one.show(row) for one in shown] for row in told.rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(shown))]
    lines = ["  ".join(_aligned(shown[i].name, cell, widths[i]) for i, cell in enumerate(line)).rstrip() for line in cells]
    lines.insert(1, "-" * len(lines[0]))
    needed = [(what, fact) for what, fact in told.facts if what not in ("Versions", "Energy", "Train")]
    said = ["", *_wrapped(verdict(told.rows), ""), ""]
    lines = said[1:] + lines + [""] if columns.untrained(told.rows) else lines + said
    for what, fact in needed:
        lines += _wrapped(f"{what + ':':<9}{fact}", " " * 9)
    return "\n".join(lines) + "\n"


def _aligned(column: str, cell: str, width: int) -> str:
    return cell.ljust(width) if column in ("Variant", "Gate") else cell.rjust(width)


def _wrapped(line: str, indent: str) -> list[str]:
    return textwrap.wrap(line, 110, subsequent_indent=indent, break_long_words=False)
