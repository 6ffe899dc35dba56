"""What the figures rest on: the corpus, the machine and how it was measured, and how to do it again."""

from collections import Counter
from typing import TYPE_CHECKING

from pipeline.benchmark.timings import Timings
from pipeline.compare.origin import Origin
from pipeline.compare.report.page.parts import Cell, Code, Facts, Line, Section, Table, Text
from pipeline.params import Params

if TYPE_CHECKING:
    from pipeline.compare.inputs import Evidence

REPRODUCE = "bigfoot use {profile} && dvc repro && bigfoot table"


def corpus(evidence: "Evidence", params: Params) -> Section:
    info = evidence.corpus
    about = [("Name", info["name"]), ("Source", info["source"]), ("License", info["license"])]
    about += [("About", info["about"])] if info.get("about") else []
    about += [("Text rules", ", ".join(f"{rule} {value}" for rule, value in info["text"].items()))] if info.get("text") else []
    about += [("Alphabet", "".join(info["alphabet"]).replace(" ", "(gap)"))] if info.get("alphabet") else []
    heads = ["Split", "Utterances", "Hours", "Speakers", "Words"]
    return Section(
        "data",
        "Data",
        [
            Facts(about),
            Table("What the splits hold", heads, [_split(*one) for one in info["splits"].items()]),
            *_leaks(info.get("leaks", {})),
            _checks(evidence.dropped, params.corpus.checks.model_dump()),
            Text(f"Each utterance that was left out, with the reason: corpora/{info['name']}/report/data.md."),
        ],
    )


def _line(name: str, *texts: str) -> Line:
    return Line(name, [Cell(text) for text in texts])


def _split(name: str, size: dict) -> Line:
    speakers = f"{size['speakers']:,}" if size.get("speakers") else "unknown"
    return _line(name, f"{size['utterances']:,}", f"{size['seconds'] / 3600:.2f}", speakers, f"{size['words']:,}")


def _leaks(leaks: dict[str, dict[str, int]]) -> list[Table]:
    pairs = list(dict.fromkeys(pair for counts in leaks.values() for pair in counts))
    lines = [
        _line(check.removeprefix("shared_"), *(f"{counts[pair]:,}" if pair in counts else "-" for pair in pairs))
        for check, counts in leaks.items()
    ]
    caption = "Utterances of the second split whose audio, sentence or speaker the first has too"
    return [Table(caption, ["The same", *pairs], lines)] if lines else []


def _checks(dropped: list[dict], severities: dict[str, str]) -> Table:
    """Every check, what follows from failing it, and how many utterances were left out for it."""
    counts = Counter(row["check"] for row in dropped)
    lines = [_line(check, severity, f"{counts[check]:,}") for check, severity in severities.items()]
    return Table(f"Checks; {len(dropped):,} utterances were left out", ["Check", "If failed", "Left out"], lines)


def measuring(facts: list[tuple[str, str]], timings: Timings) -> Section:
    """The facts that every form of the comparison opens with, and the host in full."""
    host = {what: value for what, value in timings.host.items() if value not in (None, [], "")}
    lines = [_line(what.replace("_", " "), _text(value)) for what, value in host.items()]
    lines += [_line("threads", str(timings.threads)), *(_line(*one) for one in timings.versions.items())]
    table = Table("The machine that took the times, and versions", ["What", "Is"], lines, "texts")
    return Section("measuring", "How it was measured", [Facts(facts), table])


def reproduce(origin: Origin, params: Params) -> Section:
    begin = [f"git checkout {origin.commit}"] if origin.commit else []
    parts = [Facts(origin_facts(origin, params)), Text("Settings as used are in reports/params.json.")]
    return Section("reproduce", "Reproduce", [*parts, Code([*begin, REPRODUCE.format(profile=params.profile)])])


def origin_facts(origin: Origin, params: Params) -> list[tuple[str, str]]:
    """Profile, commit, what was edited since it, and the hash of what DVC recorded; or that it is unknown."""
    if origin.edited:
        edits = f", edited since: {', '.join(origin.edited[:10])}{' ...' if len(origin.edited) > 10 else ''}"
    else:
        edits = "" if origin.edited is None else ", nothing edited since"
    return [
        ("Profile", params.profile),
        ("Git commit", f"{origin.commit}{edits}" if origin.commit else "unknown"),
        ("dvc.lock", f"{origin.lock} (of the stages before compare)" if origin.lock else "unknown"),
    ]


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
