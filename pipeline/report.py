"""The comparison for people: one table and one list of facts, written as Markdown, for the terminal and as a page.

A figure is worth as much as what is said beside it, so every form opens with the same facts: which corpus, whether
it is SYNTHETIC, how much was heard, what the intervals resample, which machine took the times and when, and which
sentences or speakers train shares with the tests. Written anew from the same files, everything is the same byte for byte.
"""

import html
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import plots
from pipeline.measure.cautions import cautions

if TYPE_CHECKING:
    from pipeline.compare import Evidence
    from pipeline.params import Params

REPRODUCE = "bigfoot use {profile} && dvc repro && bigfoot table"


def write(out: Path, rows: list[dict], evidence: "Evidence", params: "Params") -> None:
    """comparison.md, table.txt, index.html, pareto.svg and plots/*.csv into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    rows = [rows[0], *sorted(rows[1:], key=lambda row: -(row["disk_mb"] or 0))]
    facts = facts_of(evidence)
    columns = columns_of(evidence.test_sets[1:])
    verdict = verdict_of(rows)
    svg = plots.pareto(rows)
    (out / "pareto.svg").write_text(svg, encoding="utf-8")
    plots.tables(out / "plots", rows, evidence.curves)
    (out / "comparison.md").write_text(_markdown(rows, facts, columns, verdict), encoding="utf-8")
    (out / "table.txt").write_text(_terminal(rows, facts, verdict), encoding="utf-8")
    (out / "index.html").write_text(_page(rows, facts, columns, verdict, svg, params.profile), encoding="utf-8")


# ---------------------------------------------------------------- what is said


def facts_of(evidence: "Evidence") -> list[tuple[str, str]]:
    """[(what, the fact)]: what one has to know to read the table rightly."""
    corpus, first = evidence.corpus, evidence.test_sets[0]
    one = evidence.scores["teacher.fp32"]["sets"][first]
    is_made = "SYNTHETIC, spoken by no person: " if corpus.get("synthetic") else ""
    facts = [("Corpus", f"{corpus['name']} ({is_made}{corpus.get('about') or corpus['source']}), {corpus['licence']}")]
    facts += [(name.capitalize(), _size(corpus["splits"][name])) for name in (*evidence.test_sets, "dev", "train")]
    facts.append(("WER", f"first test set ({first}), greedy decoding; intervals: 95%, resampling {one['unit']}"))
    facts += [("Shared", leak) for leak in _leaks(corpus.get("leaks", {}), corpus["splits"])]
    facts += timing_facts(evidence.timings) + _energy_facts(evidence)
    return facts + [("Beware", caution) for caution in cautions(evidence.timings)]


def verdict_of(rows: list[dict]) -> str:
    """One sentence: the champion and what it costs, or that there is none and why not."""
    reference, champion = rows[0], next((row for row in rows if row["champion"]), None)
    if champion is None:
        nearest = min(rows[1:], key=lambda row: row["wer_rise_upper"], default=None)
        why = f" The nearest, {nearest['variant']}: {nearest['gate']['reason']}." if nearest else ""
        return f"No champion: no variant keeps the budget.{why}"
    return (
        f"Champion {champion['variant']}: {_times(champion['speedup'])} faster and {_times(champion['shrink'])} smaller than "
        f"{reference['variant']}, WER {_percent(champion['wer'])}% against {_percent(reference['wer'])}% "
        f"({champion['gate']['reason']})."
    )


def _size(split: dict) -> str:
    speakers = f", {split['speakers']:,} speakers" if split.get("speakers") else ""
    length = f"{split['seconds'] / 3600:.2f} h" if split["seconds"] >= 3600 else f"{split['seconds'] / 60:.1f} min"
    return f"{split['utterances']:,} utterances, {split['words']:,} words, {length}{speakers}"


def _leaks(leaks: dict[str, dict[str, int]], splits: dict) -> list[str]:
    """['74 of test's 150 utterances have a sentence that train has too', ...]; what is not shared is not mentioned."""
    said = []
    for check, pairs in leaks.items():
        for pair, count in pairs.items():
            left, _, right = pair.partition("-")
            if count:
                what = check.removeprefix("shared_")
                said.append(f"{count:,} of {right}'s {splits[right]['utterances']:,} utterances: {what} that {left} has too")
    return said


def timing_facts(timings: dict) -> list[tuple[str, str]]:
    host, sample = timings["host"], timings["sample"]
    measured = f"{timings['measured_at'][:16].replace('T', ' ')} UTC"
    machine = f"{host.get('name')}: {host.get('cpu')}, {host.get('cores')} cores, {_or_dash(host.get('memory_gb'), '.0f')} GB"
    facts = [
        ("Machine", f"{machine}, {host.get('os')}, Python {host.get('python')}"),
        (
            "Times",
            f"{measured}, {timings['threads']} threads, batch 1, {timings['rounds'] * timings['turn']} timings a variant of "
            f"{sample['utterances']} utterances ({sample['seconds']:.0f} s) in {timings['rounds']} shuffled rounds, "
            f"load before {_load(host.get('load_before'))}",
        ),
        ("Versions", ", ".join(f"{name} {version}" for name, version in timings.get("versions", {}).items())),
    ]
    return facts


def _energy_facts(evidence: "Evidence") -> list[tuple[str, str]]:
    """How the energy of inference and of training was found out."""
    figures = {"inference": evidence.timings["variants"].values(), "training": evidence.training.values()}
    modes = [(what, str(one["energy_mode"])) for what, rows in figures.items() for one in rows if one.get("energy_mode")]
    return [("Energy", f"of {what}: codecarbon, {mode}") for what, mode in dict.fromkeys(modes)]


def _load(load: object) -> str:
    load = load[0] if isinstance(load, list) and load else load
    return f"{load:.2f}" if isinstance(load, int | float) else "unknown"


# ---------------------------------------------------------------- the table


def _percent(fraction: float | None) -> str:
    return _or_dash(None if fraction is None else 100 * fraction, ".2f")


def _times(ratio: float | None) -> str:
    return _or_dash(ratio, ".1f", "x")


def _or_dash(value: float | None, form: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"


def _range(row: dict, low: str, high: str, show: Callable[[float], str]) -> str:
    return "" if row.get(low) is None or row.get(high) is None else f" [{show(row[low])}, {show(row[high])}]"


def _wer(row: dict, test: str = "") -> str:
    return _percent(row[f"wer{test}"]) + _range(row, f"wer_low{test}", f"wer_high{test}", _percent)


def columns_of(more_tests: list[str]) -> dict[str, Callable[[dict], str]]:
    """{heading: what a row shows there}."""
    return {
        "Variant": lambda r: r["variant"],
        "WER % [95%]": _wer,
        **{f"WER % {test}": lambda r, t=f"/{test}": _wer(r, t) for test in more_tests},
        "Rise, points": lambda r: _or_dash(100 * r["wer_delta"], "+.2f"),
        "CER %": lambda r: _percent(r["cer"]),
        "Dev WER %": lambda r: _percent(r["dev_wer"]),
        "Rise on dev at most": lambda r: _or_dash(100 * r["wer_rise_upper"], "+.2f"),
        "Params, M": lambda r: _or_dash(r["params"] / 1e6 if r["params"] else None, ".2f"),
        "MB": lambda r: _or_dash(r["disk_mb"], ".2f"),
        "Smaller": lambda r: _times(r["shrink"]),
        "p50 ms": lambda r: _or_dash(r["latency_p50_ms"], ".1f"),
        "p95 ms": lambda r: _or_dash(r["latency_p95_ms"], ".1f"),
        "Faster [95%]": lambda r: _times(r["speedup"]) + _range(r, "speedup_low", "speedup_high", _times),
        "RTFx": lambda r: _or_dash(r["rtfx"], ".0f"),
        "RAM MB": lambda r: _or_dash(r["ram_mb"], ".0f"),
        "Wh per audio hour": lambda r: _or_dash(r["energy_wh_per_audio_hour"], ".3g"),
        "Gate": lambda r: ("champion" if r["champion"] else "passes") if r["gate"]["passed"] else "fails",
    }


IN_README = ("Variant", "WER % [95%]", "Rise, points", "MB", "Smaller", "p50 ms", "Faster [95%]", "Gate")
IN_TERMINAL = ("Variant", "WER % [95%]", "Dev WER %", "MB", "Smaller", "p50 ms", "Faster [95%]", "Gate")


def _markdown(rows: list[dict], facts: list, columns: dict, verdict: str) -> str:
    lines = ["# Comparison", "", _escaped(verdict), ""]
    lines += [f"- **{what}**: {_escaped(fact)}" for what, fact in facts]
    lines += ["", table(rows, columns), "", "Gate, on dev:", ""]
    lines += [f"- {row['variant']}: {row['gate']['reason']}" for row in rows]
    return "\n".join(lines) + "\n"


def short_table(rows: list[dict]) -> str:
    """The table in Markdown with its most telling columns, of the objects in comparison.json."""
    rows = [rows[0], *sorted(rows[1:], key=lambda row: -(row["disk_mb"] or 0))]
    columns = {name: show for name, show in columns_of([]).items() if name in IN_README}
    return table(rows, columns)


def table(rows: list[dict], columns: dict[str, Callable[[dict], str]]) -> str:
    """A table in Markdown, a line a row, of the columns that `columns_of` gives, or of such as those."""
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    return "\n".join([*lines, *(f"| {' | '.join(_escaped(show(row)) for show in columns.values())} |" for row in rows)])


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _terminal(rows: list[dict], facts: list, verdict: str) -> str:
    """The table in columns that line up, and beneath it the facts that a reader of figures must not miss."""
    columns = {name: show for name, show in columns_of([]).items() if name in IN_TERMINAL}
    cells = [list(columns), *([show(row) for show in columns.values()] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    lines = ["  ".join(_aligned(i, cell, widths[i]) for i, cell in enumerate(line)).rstrip() for line in cells]
    lines.insert(1, "-" * len(lines[0]))
    told = [(what, fact) for what, fact in facts if what not in ("Versions", "Energy", "Train")]
    lines += ["", *_wrapped(verdict, ""), ""]
    for what, fact in told:
        lines += _wrapped(f"{what + ':':<9}{fact}", " " * 9)
    return "\n".join(lines) + "\n"


def _aligned(column: int, cell: str, width: int) -> str:
    return cell.ljust(width) if column in (0, len(IN_TERMINAL) - 1) else cell.rjust(width)


def _wrapped(line: str, indent: str) -> list[str]:
    return textwrap.wrap(line, 110, subsequent_indent=indent, break_long_words=False)


# ---------------------------------------------------------------- the page

STYLE = """
:root { color-scheme: light dark; --line: #8885; --mark: #2a7d4f22 }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 0 auto; padding: 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem }
.card { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem }
.card b { display: block; font-size: 1.35rem }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .875rem }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: Canvas }
tr.champion td { background: var(--mark) } tr.champion td:first-child { font-weight: bold }
svg { max-width: 100%; height: auto; background: #fff; border-radius: .5rem }
dt { font-weight: bold } dd { margin: 0 0 .4rem } .made { border-left: 4px solid #c77700; padding-left: .7rem }
pre { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem; padding: .6rem }
"""


def _page(rows: list[dict], facts: list, columns: dict, verdict: str, svg: str, profile: str) -> str:
    """One HTML file that needs nothing else: no script, no font, no network."""
    say = html.escape
    made = '<p class="made">SYNTHETIC speech: these figures say how the pipeline works, not how it hears people.</p>'
    is_made = any("SYNTHETIC" in fact for what, fact in facts if what == "Corpus")
    body = [f"<h1>{say(rows[0]['variant'])} and what it was shrunk to</h1>", f"<p>{say(verdict)}</p>", made if is_made else ""]
    body.append(_cards(rows))
    head = "".join(f'<th scope="col">{say(name)}</th>' for name in columns)
    lines = [
        f'<tr class="{"champion" if row["champion"] else ""}" title="{say(row["gate"]["reason"])}">'
        + "".join(f"<td>{say(show(row))}</td>" for show in columns.values())
        + "</tr>"
        for row in rows
    ]
    table = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
    reasons = "".join(f"<dt>{say(row['variant'])}</dt><dd>{say(row['gate']['reason'])}</dd>" for row in rows)
    told = "".join(f"<dt>{say(what)}</dt><dd>{say(fact)}</dd>" for what, fact in facts)
    body += ["<h2>All variants</h2>", table, "<h2>Size and speed against WER</h2>", svg[svg.index("<svg") :]]
    body += ["<h2>Gate, on dev</h2>", f"<dl>{reasons}</dl>", "<h2>How it was measured</h2>", f"<dl>{told}</dl>"]
    body += ["<h2>Reproduce</h2>", f"<pre>{say(REPRODUCE.format(profile=profile))}</pre>"]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Bigfoot: comparison</title>'
        f"<style>{STYLE}</style></head><body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _cards(rows: list[dict]) -> str:
    """The champion's headline figures, each beside the teacher's; nothing where there is no champion."""
    teacher, champion = rows[0], next((row for row in rows if row["champion"]), None)
    if champion is None:
        return ""
    cards = [
        ("WER", f"{_percent(champion['wer'])}%", f"{_percent(teacher['wer'])}%"),
        ("Size", f"{_or_dash(champion['disk_mb'], '.1f')} MB", f"{_or_dash(teacher['disk_mb'], '.1f')} MB"),
        ("Latency", f"{_or_dash(champion['latency_p50_ms'], '.1f')} ms", f"{_or_dash(teacher['latency_p50_ms'], '.1f')} ms"),
        ("Faster", _times(champion["speedup"]), _times(1.0)),
        ("Smaller", _times(champion["shrink"]), _times(1.0)),
    ]
    shown = "".join(f'<div class="card">{what}<b>{now}</b>teacher {was}</div>' for what, now, was in cards)
    return f'<div class="cards">{shown}</div>'
