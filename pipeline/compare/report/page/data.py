"""What the figures are based on: the corpus, the machine and the measurement; and how to reproduce them."""

from collections import Counter

from pipeline.benchmark.timings import Timings
from pipeline.compare.inputs import Evidence
from pipeline.compare.origin import Origin
from pipeline.compare.report.page.parts import Cell, Code, Facts, Line, Section, Table, Text
from pipeline.params import Params
from pipeline.project import Project
from pipeline.speech.normalization import described

RUN = "dvc repro && bigfoot table"
REPRODUCE = f"bigfoot use {{profile}} && {RUN}"


def corpus(evidence: Evidence, params: Params) -> Section:
    info = evidence.corpus
    about = [("Name", info["name"]), ("Source", info["source"]), ("License", info["license"])]
    about += [("About", info["about"])] if info.get("about") else []
    about += [("Language", info["language"])] if info.get("language") else []
    about += [("Text rules", described(info["text"]))] if info.get("text") else []
    about += [("Alphabet", "".join(info["alphabet"]).replace(" ", "(gap)"))] if info.get("alphabet") else []
    heads = ["Split", "Utterances", "Hours", "Speakers", "Words"]
    return Section(
        "data",
        "Data",
        [
            Facts(about),
            Table("Size of the splits", heads, [_split(*split) for split in info["splits"].items()]),
            *_leaks(info.get("leaks", {})),
            _checks(evidence.dropped, params.corpus.checks.model_dump()),
            Text(f"Every utterance that was left out is listed, with the reason, in corpora/{info['name']}/report/data.md."),
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
    caption = "Utterances of the second split whose audio, sentence or speaker is also in the first"
    return [Table(caption, ["The same", *pairs], lines)] if lines else []


def _checks(dropped: list[dict], severities: dict[str, str]) -> Table:
    """Every check with its severity and the number of utterances that were left out because of it."""
    counts = Counter(row["check"] for row in dropped)
    lines = [_line(check, severity, f"{counts[check]:,}") for check, severity in severities.items()]
    return Table(f"Checks; {len(dropped):,} utterances were left out", ["Check", "If failed", "Left out"], lines)


def measuring(facts: list[tuple[str, str]], timings: Timings) -> Section:
    """The facts at the top of every form of the comparison, and all details of the host."""
    host = {what: value for what, value in timings.host.items() if value not in (None, [], "")}
    lines = [_line(what.replace("_", " "), _text(value)) for what, value in host.items()]
    lines += [_line("threads", str(timings.threads)), *(_line(*version) for version in timings.versions.items())]
    table = Table("The machine that was timed, and versions", ["Item", "Value"], lines, "texts")
    return Section("measuring", "How it was measured", [Facts(facts), table])


def reproduce(origin: Origin, params: Params) -> Section:
    commands = [f"git checkout {origin.commit}"] if origin.commit else []
    is_committed = origin.commit and Project().params.name not in (origin.edited or ())  # then a profile would replace it
    commands.append(RUN if is_committed else REPRODUCE.format(profile=params.profile))
    parts = [Facts(origin_facts(origin, params)), Text("The settings that were used are in reports/params.json.")]
    return Section("reproduce", "Reproduce", [*parts, Code(commands)])


def origin_facts(origin: Origin, params: Params) -> list[tuple[str, str]]:
    """Profile, commit with the files edited since, and hash of dvc.lock; "unknown" where one is."""
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
