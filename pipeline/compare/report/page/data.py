"""What the figures rest on: the corpus, the machine and how it was measured, and how to do it again."""

from collections import Counter
from typing import TYPE_CHECKING

from pipeline.compare.origin import Origin
from pipeline.compare.report.page.markup import cell, code, facts, section, table
from pipeline.params import Params

if TYPE_CHECKING:
    from pipeline.compare.inputs import Evidence

REPRODUCE = "bigfoot use {profile} && dvc repro && bigfoot table"


def corpus(evidence: "Evidence", params: Params) -> tuple[str, str, str] | None:
    info = evidence.corpus
    about = [("Name", info["name"]), ("Source", info["source"]), ("License", info["license"])]
    about += [("About", info["about"])] if info.get("about") else []
    about += [("Text rules", ", ".join(f"{rule} {value}" for rule, value in info["text"].items()))] if info.get("text") else []
    about += [("Alphabet", "".join(info["alphabet"]).replace(" ", "(gap)"))] if info.get("alphabet") else []
    heads = ["Split", "Utterances", "Hours", "Speakers", "Words"]
    return section(
        "data",
        "Data",
        facts(about),
        table("What the splits hold", heads, map(_split, info["splits"].items())),
        _leaks(info.get("leaks", {})),
        _checks(evidence.dropped, params.corpus.checks.model_dump()),
        f"<p>Each utterance that was left out, with the reason: corpora/{info['name']}/report/data.md.</p>",
    )


def _split(one: tuple[str, dict]) -> tuple[str, list[str]]:
    name, size = one
    speakers = f"{size['speakers']:,}" if size.get("speakers") else "unknown"
    figures = [f"{size['utterances']:,}", f"{size['seconds'] / 3600:.2f}", speakers, f"{size['words']:,}"]
    return name, [cell(figure) for figure in figures]


def _leaks(leaks: dict[str, dict[str, int]]) -> str:
    pairs = list(dict.fromkeys(pair for found in leaks.values() for pair in found))
    lines = [
        (check.removeprefix("shared_"), [cell(f"{found[pair]:,}" if pair in found else "-") for pair in pairs])
        for check, found in leaks.items()
    ]
    caption = "Utterances of the second split whose audio, sentence or speaker the first has too"
    return table(caption, ["The same", *pairs], lines) if lines else ""


def _checks(dropped: list[dict], severities: dict[str, str]) -> str:
    """Every check, what follows from failing it, and how many utterances were left out for it."""
    counts = Counter(one["check"] for one in dropped)
    lines = [(check, [cell(severity), cell(f"{counts[check]:,}")]) for check, severity in severities.items()]
    return table(f"Checks; {len(dropped):,} utterances were left out", ["Check", "If failed", "Left out"], lines)


def measuring(told: list[tuple[str, str]], timings: dict) -> tuple[str, str, str] | None:
    """The facts that every form of the comparison opens with, and the host in full."""
    host = {what: value for what, value in timings["host"].items() if value not in (None, [], "")}
    lines = [(what.replace("_", " "), [cell(_text(value))]) for what, value in host.items()]
    lines += [("threads", [cell(str(timings["threads"]))])]
    lines += [(name, [cell(version)]) for name, version in timings.get("versions", {}).items()]
    host_table = table("The machine that took the times, and versions", ["What", "Is"], lines, "texts")
    return section("measuring", "How it was measured", facts(told), host_table)


def reproduce(origin: Origin, params: Params) -> tuple[str, str, str] | None:
    begin = [f"git checkout {origin.commit}"] if origin.commit else []
    edited = "<p>Settings as used are in reports/params.json.</p>"
    return section(
        "reproduce", "Reproduce", facts(origin_facts(origin, params)), edited,
        code([*begin, REPRODUCE.format(profile=params.profile)]),
    )  # fmt: skip


def origin_facts(origin: Origin, params: Params) -> list[tuple[str, str]]:
    """Profile, commit, what was edited since it, and the hash of what DVC recorded; what is unknown is said to be."""
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
