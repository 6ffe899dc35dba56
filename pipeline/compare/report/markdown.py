"""The comparison for readers: one table and one list of facts, as Markdown, for the terminal and as a page.

A figure means little without its conditions, so every form begins with the same facts: the corpus, whether it is SYNTHETIC, the
amount of audio, what the intervals resample, which machine was timed and when, which sentences or speakers train shares with
the tests. The same files give the same bytes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from pipeline.benchmark.timings import REFERENCE, Timings
from pipeline.common import tables
from pipeline.common.energy import SPREAD, is_modeled
from pipeline.common.files import write_json
from pipeline.common.host import kind
from pipeline.common.numbers import ABSENT, percent, shown, times
from pipeline.common.tables import escaped
from pipeline.compare.answers import Answer
from pipeline.compare.breakdown import Breakdown, Mistake, rates
from pipeline.compare.comparison import Row, champion_of, untrained
from pipeline.compare.figures import of_objective
from pipeline.compare.inputs import Evidence
from pipeline.compare.origin import Origin
from pipeline.compare.report import columns, live, noise, plots, tradeoffs
from pipeline.compare.report.cautions import cautions, lacking
from pipeline.compare.report.page import Report, page
from pipeline.compare.report.page.data import REPRODUCE, origin_facts
from pipeline.compare.report.page.errors import confused, described, pairs, worst_groups
from pipeline.compare.report.page.headline import verdict
from pipeline.compare.report.page.variants import OF_LENGTHS
from pipeline.params import Params
from pipeline.project import Project
from pipeline.speech.corpus import GATE

__all__ = ["REPRODUCE", "facts_of", "short_table", "table", "timing_facts", "write"]

MODELED = (
    "modeled figures follow the time of uninterrupted work, which gains another factor than the turns that Faster is of, "
    "and add nothing to it. Their range is 95%, for the model's mean over many runs of the same "
    f"work, by how its power differed between published runs ({SPREAD:.0%}); what a meter would read is not known"
)
GROUPS, WORST = 8, 5  # groups per breakdown and worst utterances per test set in Markdown; the page has more


def write(
    out: Path,
    rows: list[Row],
    evidence: Evidence,
    params: Params,
    origin: Origin,
    breakdown: Breakdown | None = None,
    worst: Sequence[Mistake] = (),
    sounds: Mapping[tuple[str, str], bytes] | None = None,
    answers: Sequence[Answer] = (),
) -> None:
    """comparison.md, table.txt, table.json, index.html, plots/*.csv and, for trained models, pareto.svg into the folder `out`.

    breakdown and worst are the contents of breakdown.json and worst.json; without them their sections are left out.
    sounds: {(set, id): FLAC file} of the worst utterances, which the page plays. answers: those of `compare.answers`.
    """
    out.mkdir(parents=True, exist_ok=True)
    rows = [rows[0], *sorted(rows[1:], key=lambda row: -(row["disk_mb"] or 0))]
    report = Report(
        rows, columns.of(rows), facts_of(evidence), evidence, params, origin, breakdown, list(worst), sounds or {}, answers
    )  # fmt: skip
    models = ["teacher", *params.students]
    looks = plots.looks_of(rows, models)
    panels = plots.panels(rows, looks)
    if panels:
        (out / "pareto.svg").write_text(plots.pareto(panels), encoding="utf-8")
    plots.tables(out / "plots", rows, evidence.curves, models)
    (out / Project().report.name).write_text(_markdown(report), encoding="utf-8")
    (out / Project().table.name).write_text(_terminal(report), encoding="utf-8")
    write_json(out / Project().table_rows.name, _rows(report))
    (out / "index.html").write_text(page(report, panels, looks), encoding="utf-8")


# ---------------------------------------------------------------- the facts


def facts_of(evidence: Evidence) -> list[tuple[str, str]]:
    """[(name, text)]: the facts that a reader of the table needs."""
    corpus, first = evidence.corpus, evidence.test_sets[0]
    is_made = "SYNTHETIC, spoken by no person: " if corpus.get("synthetic") else ""
    facts = [("Corpus", f"{corpus['name']} ({is_made}{corpus.get('about') or corpus['source']}), {corpus['license']}")]
    scored = evidence.scores[REFERENCE].sets
    facts += [
        (
            name.capitalize(),
            _size(corpus["splits"][name], scored[name].utterances if name in scored else None)
            + _left_out(row["check"] for row in evidence.dropped if row["split"] == name),
        )
        for name in (*evidence.test_sets, "dev", GATE, "train")
    ]
    if not evidence.untrained:
        decoded = "greedy decoding" + (", but for names with a + (beam search, language model)" if evidence.decodings else "")
        units = _units(evidence)
        intervals = f"intervals: 95%, resampling {units}" if units else "no intervals: too few utterances"
        facts.append((evidence.objective.upper(), f"first test set ({first}), {decoded}; {intervals}"))
    facts += [("Shared", leak) for leak in _leaks(corpus.get("leaks", {}), corpus["splits"])]
    facts += timing_facts(evidence.timings) + _energy_facts(evidence)
    return facts + [("Beware", caution) for caution in [*lacking(evidence), *cautions(evidence.timings)]]


def _units(evidence: Evidence) -> str:
    """What the intervals of the test sets resample: of each, where they differ; "" where none has any."""
    scored = {name: [score.sets[name] for score in evidence.scores.values()] for name in evidence.test_sets}
    units = {name: sets[0].unit for name, sets in scored.items() if any(each.wer_low is not None for each in sets)}
    if len(set(units.values())) <= 1:
        return next(iter(units.values()), "")
    return ", ".join(f"{unit} of {name}" for name, unit in units.items())


def _size(split: dict, evaluated: int | None) -> str:
    speakers = f", {split['speakers']:,} speakers" if split.get("speakers") else ""
    length = f"{split['seconds'] / 3600:.2f} h" if split["seconds"] >= 3600 else f"{split['seconds'] / 60:.1f} min"
    is_part = evaluated is not None and evaluated < split["utterances"]
    part = f"; {evaluated:,} utterances of it, drawn at random (evaluate.max_hours), are evaluated" if is_part else ""
    return f"{split['utterances']:,} utterances, {split['words']:,} words, {length}{speakers}{part}"


def _left_out(checks: Iterable[str]) -> str:
    """What the checks of `prepare` took from a split, which its figures are not of."""
    counts = ", ".join(f"{count:,} {check}" for check, count in Counter(checks).most_common())
    return f"; left out: {counts}" if counts else ""


def _leaks(leaks: dict[str, dict[str, int]], splits: dict) -> list[str]:
    """["74 of test's 150 utterances: sentence that train has too", ...] for everything that two splits share."""
    sentences = []
    for check, pairs_of_splits in leaks.items():
        for pair, count in pairs_of_splits.items():
            left, _, right = pair.partition("-")
            if count:
                what = check.removeprefix("shared_")
                total = f"{right}'s {splits[right]['utterances']:,} utterances"
                sentences.append(f"{count:,} of {total}: {what} that {left} has too")
    return sentences


def timing_facts(timings: Timings) -> list[tuple[str, str]]:
    host, sample = timings.host, timings.sample
    measured = f"{timings.measured_at[:16].replace('T', ' ')} UTC"
    machine = f"{host.get('name')}: {kind(host)}, {shown(host.get('memory_gb'), '.0f')} GB"
    return [
        ("Machine", f"{machine}, {host.get('os')}, Python {host.get('python')}"),
        (
            "Times",
            f"{measured}, {timings.threads} threads, batch 1, {timings.rounds * timings.turn} timings per variant of "
            f"{sample.utterances} utterances ({sample.seconds:.0f} s) in {timings.rounds} shuffled rounds, its process started "
            f"{timings.restarts} times, "
            f"load before {_load(host.get('load_before'))}",
        ),
        ("Faster", "a ratio of total times, in which slow ones weigh most: the ratio of medians (p50) is another"),
        *(
            ("GPU", f"{', '.join(names)}: timed on {device}, and Faster is over {REFERENCE} on the CPU")
            for device, names in _by({n: t.device for n, t in timings.variants.items() if t.device != "cpu"}).items()
        ),
        *(
            ("Skipped", f"{', '.join(names)}: not timed: {reason}")
            for reason, names in _by({name: skipped.reason for name, skipped in timings.skipped.items()}).items()
        ),
        ("Versions", ", ".join(f"{name} {version}" for name, version in timings.versions.items())),
    ]


def _by(texts: Mapping[str, str]) -> dict[str, list[str]]:
    """{text: the names that have it}."""
    return {text: [name for name, own in texts.items() if own == text] for text in dict.fromkeys(texts.values())}


def _energy_facts(evidence: Evidence) -> list[tuple[str, str]]:
    """How the energy of inference and of training was measured or modeled."""
    timed, trained = evidence.timings.variants.values(), evidence.training.values()
    modes = [("inference", timing.energy_mode, False) for timing in timed]
    modes += [("training", metrics.get("energy_mode"), True) for metrics in trained]
    notes = [timing.energy_note for timing in timed if timing.energy_note and not timing.energy_resolved]
    mix = f", electricity of {country}" if (country := evidence.country) else ""
    facts = [
        ("Energy", f"of {what}: {'modeled' if is_modeled(mode, on_gpu) else 'measured'} by codecarbon, {mode}{mix}")
        for what, mode, on_gpu in dict.fromkeys(modes)
        if mode
    ]
    facts += [("Energy", MODELED)] if any(is_modeled(mode, on_gpu) for _, mode, on_gpu in modes if mode) else []
    return facts + [("Energy", note) for note in dict.fromkeys(notes)]


def _load(load: object) -> str:
    load = load[0] if isinstance(load, list) and load else load
    return f"{load:.2f}" if isinstance(load, int | float) else "unknown"


# ---------------------------------------------------------------- the table


LOWER_IS_BETTER = ("wer", "disk_mb", "latency_p50_ms")
IN_TERMINAL = ("Variant", "WER % [95%]", "MB", "Faster [95%]", "Gate")  # which, with long names, are 80 characters wide


def _markdown(report: Report) -> str:
    is_untrained = untrained(report.rows)
    lines = [
        "# Comparison: UNTRAINED models" if is_untrained else "# Comparison",
        "",
        escaped(verdict(report.rows, report.params, report.test)),
        *tradeoffs.markdown(report.answers, report.params.gate.prefer),
        "",
    ]
    lines += [f"- **{what}**: {escaped(fact)}" for what, fact in report.facts + origin_facts(report.origin, report.params)]
    lines += ["", whole_table(report.rows)]
    if is_untrained:
        return "\n".join(lines) + "\n"
    lines += ["", "Gate:", ""]
    lines += [f"- {row.variant}: {row.gate.reason}" for row in report.rows]
    return (
        "\n".join(
            lines
            + _by_length_of_audio(report.rows)
            + _live(report)
            + _noise(report)
            + _breakdown(report)
            + _worst(report.worst, report.rows[0].objective)
        )
        + "\n"
    )


def _by_length_of_audio(rows: list[Row]) -> list[str]:
    """Latency of the teacher and the champion at each timed length, with the benchmark's threads and with one."""
    if (champion := champion_of(rows)) is None:
        return []
    timed = _against(rows[0], champion, one_thread=False)
    alone = _against(rows[0], champion, one_thread=True)
    heads = [f"{rows[0].variant}, ms", f"{champion.variant}, ms", "Faster"]
    if alone and alone != timed:  # they are the same where the benchmark has one thread
        heads += [f"{head}, one thread" for head in heads]
        timed = {seconds: [*cells, *alone.get(seconds, [ABSENT] * 3)] for seconds, cells in timed.items()}
    about = f"By length of audio, {OF_LENGTHS}:"
    lines = [[f"{seconds:g}", *cells] for seconds, cells in timed.items()]
    return ["", about, "", tables.markdown(["Audio, s", *heads], lines)] if timed else []


def _against(teacher: Row, champion: Row, one_thread: bool) -> dict[float, list[str]]:
    """{seconds of audio: both latencies in ms and their ratio}."""
    best = dict(plots.lengths(champion, one_thread))
    return {
        seconds: [shown(ms, ".1f"), shown(best[seconds], ".1f"), times(ms / best[seconds])]
        for seconds, ms in plots.lengths(teacher, one_thread)
        if seconds in best
    }


def _live(report: Report) -> list[str]:
    """The errors of live recognition, where params ask for them."""
    heads, cells = live.table(report.rows, report.evidence)
    return ["", live.about(report.evidence), "", tables.markdown(heads, cells)] if cells else []


def _noise(report: Report) -> list[str]:
    """The errors in noise, where params ask for them."""
    heads, cells = noise.table(report.rows, report.evidence)
    about = noise.ABOUT.format(report.rows[0].objective.upper())
    return ["", about, "", tables.markdown(heads, cells)] if cells else []


def _breakdown(report: Report) -> list[str]:
    """The error rates of the teacher and the champion for each test set and factor."""
    names = [row.variant for row in (report.rows[0], champion_of(report.rows)) if row]
    rate = report.rows[0].objective.upper()
    lines = []
    by_set = report.breakdown["sets"] if report.breakdown else {}
    for test, factor, groups in ((test, *by) for test, by_factor in by_set.items() for by in by_factor.items()):
        kept, left_out = worst_groups(groups, report.rows, GROUPS)
        cells = [
            [
                group["group"],
                f"{group['utterances']:,}",
                f"{group['words']:,}",
                *(percent(rates(group)[0].get(n)) for n in names),
            ]
            for group in kept
        ]
        heads = [factor.capitalize(), "Utterances", "Words", *(f"{name}, {rate} %" for name in names)]
        lines += ["", f"{test} by {factor}{left_out}:", "", tables.markdown(heads, cells)] if cells else []
    for test, confusions in (report.breakdown["confusions"] if report.breakdown else {}).items():
        heads, cells = confused(confusions, report.rows)
        lines += ["", f"Words of {test} taken for others:", "", tables.markdown(heads, cells)] if cells else []
    return lines


def _worst(worst: Sequence[Mistake], objective: str) -> list[str]:
    """Reference and variant, word by word (or in runs of characters): [reference > recognized] where they differ."""
    lines, gap = list[str](), " " if objective == "wer" else ""
    for test in dict.fromkeys(mistake["set"] for mistake in worst):
        lines += ["", f"The worst utterances of {test}, as [reference > recognized]:", ""]
        for mistake in [mistake for mistake in worst if mistake["set"] == test][:WORST]:
            words = (word if word == other else f"[{word} > {other}]" for word, other in pairs(mistake["alignment"]))
            head = f"{mistake['id']}, {mistake['variant']} {described(mistake)}, the teacher {mistake['teacher_errors']}"
            lines.append(f"- {escaped(head)}: {escaped(gap.join(words))}")
    return lines


def for_readme(rows: list[Row]) -> list[Row]:
    """The teacher, its fastest variant, the champion, and those of students that none beats in errors, MB and latency.

    Those for a GPU are left out: their times aren't of the same device.
    """
    rows = [row for row in rows if row.kind != "gpu"]
    keys = [of_objective(key, rows[0].objective) for key in LOWER_IS_BETTER]
    digits = {"disk_mb": 2, "latency_p50_ms": 1}  # as the table shows them; an error rate in percent has two
    measured = {
        row.variant: [round(value, digits.get(key, 4)) for key in keys if (value := row[key]) is not None] for row in rows
    }
    complete = [figures for figures in measured.values() if len(figures) == len(LOWER_IS_BETTER)]

    def is_unbeaten(row: Row) -> bool:
        mine = measured[row.variant]
        others = (theirs for theirs in complete if theirs != mine)
        return mine in complete and not any(all(a <= b for a, b in zip(theirs, mine, strict=True)) for theirs in others)

    fastest = max((row for row in rows if row.model == "teacher"), key=lambda row: row["speedup_to_choose"] or 0.0)
    return [
        row for row in rows if row is rows[0] or row is fastest or row.champion or (row.model != "teacher" and is_unbeaten(row))
    ]


def short_table(rows: list[Row]) -> str:
    """The table in Markdown with its most informative columns."""
    rows = [rows[0], *sorted(rows[1:], key=lambda row: -(row["disk_mb"] or 0))]
    objective = rows[0].objective
    wanted = [of_objective(name, objective) for name in columns.ESSENTIAL]
    return table(rows, {column.name: column.show for column in columns.known((), objective) if column.name in wanted})


def whole_table(rows: list[Row]) -> str:
    """The table in Markdown with all its columns."""
    return table(rows, {column.name: column.show for column in columns.of(rows) if not column.page_only})


def table(rows: Sequence, columns: dict[str, Callable[..., str]]) -> str:
    """A table in Markdown, one line per row: `columns` is {heading: the function that gives a row's text}."""
    return tables.markdown(columns, [[show(row) for show in columns.values()] for row in rows])


def _terminal(report: Report) -> str:
    """The table in aligned columns, followed by the facts that a reader must not miss."""
    columns = _named(report, IN_TERMINAL)
    cells = [[column.show(row) for column in columns] for row in report.rows]
    sides = ["left" if column.name in ("Variant", "Gate") else "right" for column in columns]
    heads = [column.name for column in columns]
    table, opening = tables.plain(heads, cells, sides), tables.wrapped(verdict(report.rows, report.params, report.test))
    lines = [*opening, "", table, ""] if untrained(report.rows) else [table, "", *opening, ""]
    needed = [(what, fact) for what, fact in report.facts if what not in ("Versions", "Energy", "Train")]
    for what, fact in [*tradeoffs.facts(report.answers, report.params.gate.prefer), *needed]:
        lines += tables.wrapped(f"{what + ':':<9}{fact}", " " * 9)
    return "\n".join(lines) + "\n"


def _rows(report: Report) -> list[dict[str, str]]:
    """{heading: text} of each variant, with the reason for its verdict."""
    shown = _named(report, columns.ESSENTIAL)
    return [{column.name: column.show(row) for column in shown} | {"Reason": row.gate.reason} for row in report.rows]


def _named(report: Report, names: Sequence[str]) -> list[columns.Column]:
    wanted = [of_objective(name, report.rows[0].objective) for name in names]
    return [column for column in report.columns if column.name in wanted]
