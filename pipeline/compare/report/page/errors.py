"""Where errors lie: by length, speaker and noise, and the worst utterances word by word. Nothing where that isn't known.

`breakdown` is {"sets": {TEST SET: {"length": [{"group", "utterances", "words", "wer": {VARIANT: fraction}}]}}}, `worst` a list
of {"id", "speaker", "set", "reference", "variant", "teacher", "hypothesis", "errors", "teacher_errors", "alignment"}; an
alignment is [[operation, reference word, heard word]], one of the words empty where one was left out or put in.
"""

from pipeline.compare.report.columns import percent, with_range
from pipeline.compare.report.page.headline import champion_of
from pipeline.compare.report.page.markup import cell, say, section, table

GROUPS = 20  # of a table


def breakdown(found: dict | None, rows: list[dict]) -> tuple[str, str, str] | None:
    tables = [
        _table(factor, test, groups, rows)
        for test, by_factor in (found or {}).get("sets", {}).items()
        for factor, groups in by_factor.items()
        if groups
    ]
    about = "<p>Few words tell little: the fewer a group has, the more its figure is chance.</p>"
    return section("errors", "Where the errors lie", about, *tables) if tables else None


def telling(groups: list[dict], rows: list[dict], most: int) -> tuple[list[dict], str]:
    """The groups as given, or of many those that the champion (else the teacher) hears worst; and what is left out."""
    if len(groups) <= most:
        return groups, ""
    name = (champion_of(rows) or rows[0])["variant"]
    worst = sorted(groups, key=lambda group: -(group["wer"].get(name) or 0))[:most]
    return worst, f"; of {len(groups):,} the {most} that {name} hears worst, the others are in reports/breakdown.json"


def pairs(alignment: list) -> list[tuple[str, str]]:
    """[(reference word, heard word)]; "" where there is none."""
    return [(said or "", heard or "") for _, said, heard in alignment]


def worst(found: list[dict] | None) -> tuple[str, str, str] | None:
    """Reference, teacher and variant side by side, and what the variant did to each word of the reference."""
    if not found:
        return None
    about = (
        "<p>Above each other: what was said, and what was heard in its place. <del>Struck out</del> was said and heard "
        "otherwise or not at all, <ins>underlined</ins> was heard and not said.</p>"
    )
    lists = [
        f'<h3>{say(test)}</h3>\n<ol class="worst">{"".join(_one(one) for one in found if one["set"] == test)}</ol>'
        for test in dict.fromkeys(one["set"] for one in found)
    ]
    return section("worst", "The worst utterances", about, *lists)


def _table(factor: str, test: str, groups: list[dict], rows: list[dict]) -> str:
    shown, left_out = telling(groups, rows, GROUPS)
    champion = champion_of(rows)
    first = [row["variant"] for row in (champion, rows[0]) if row]
    names = [*first, *(row["variant"] for row in rows if row["variant"] not in first)]
    widest = max((group["wer"].get(name) or 0 for group in shown for name in first), default=0) or 1
    lines = []
    for group in shown:
        cells = [cell(f"{group['utterances']:,}"), cell(f"{group['words']:,}")]
        for name in names:
            wer = group["wer"].get(name)
            ends = {"wer": wer, **{end: group.get(end, {}).get(name) for end in ("wer_low", "wer_high")}}
            told = with_range(ends, "wer", "wer_low", "wer_high", percent) if name in first else percent(wer)
            cells.append(cell(told, wer, wer / widest if wer is not None and name in first else None))
        lines.append((str(group["group"]), cells))
    heads = [factor.capitalize(), "Utterances", "Words", *names]
    return f"<h3>By {say(factor)}: {say(test)}</h3>\n" + table(f"WER % of {test} by {factor}{left_out}", heads, lines)


def _one(one: dict) -> str:
    speaker = f", speaker {one['speaker']}" if one.get("speaker") else ""
    head = f"{one['id']}{speaker}: {one['variant']} {_wrong(one['errors'])}, the teacher {_wrong(one['teacher_errors'])}"
    texts = [("Said", one["reference"]), ("Teacher heard", one["teacher"]), (f"{one['variant']} heard", one["hypothesis"])]
    lines = "".join(f"<dt>{say(what)}</dt><dd>{say(text) or '(nothing)'}</dd>" for what, text in texts)
    return f'<li><b>{say(head)}</b><dl>{lines}</dl><p class="aligned">{"".join(map(_pair, pairs(one["alignment"])))}</p></li>'


def _wrong(errors: int) -> str:
    return f"{errors} wrong"


def _pair(pair: tuple[str, str]) -> str:
    said, heard = map(say, pair)
    if said == heard:
        return f'<span class="pair"><span>{said}</span><span>{heard}</span></span> '
    return f'<span class="pair"><del>{said or "&nbsp;"}</del><ins>{heard or "&nbsp;"}</ins></span> '
