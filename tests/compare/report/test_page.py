"""The page needs no other file, is readable without mouse or sight, shows every figure, escapes texts, sorts in a browser."""

import base64
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from ruamel.yaml import YAML

from pipeline.compare import figures, origin
from pipeline.compare.comparison import Row, Verdict
from pipeline.compare.inputs import gather
from pipeline.compare.origin import Origin
from pipeline.compare.report import columns, looks
from pipeline.compare.report.markdown import write as write_report
from pipeline.compare.report.page import errors
from pipeline.compare.report.page.parts import Alignments
from pipeline.compare.rows import judge, measured
from pipeline.compare.run import compare
from tests.planted import FIGURES, plant

HOSTILE = "<script>alert(1)</script>"
CONFUSION = {"word": "go<t>", "recognized": "bo&t", "counts": {"teacher.fp32": 3}}
GROUP = {"group": HOSTILE, "utterances": 3, "words": 40, "wer": {"teacher.fp32": 0.1, "half.int8-openvino": 0.25}}
GROUP |= {"unit": "utterances", "wer_low": {}, "wer_high": {}}
WORST = {
    "id": "u7", "speaker": HOSTILE, "set": "test", "reference": "one two three", "variant": "half.int8-openvino",
    "teacher": "one two", "hypothesis": f"one ten four {HOSTILE}", "errors": 3, "teacher_errors": 1,
    "kinds": {"replaced": 1, "lost": 1, "inserted": 1, "slips": 0},
    "alignment": [["equal", "one", "one"], ["substitute", "two", "ten"], ["delete", "three", ""], ["insert", "", HOSTILE]],
}  # fmt: skip
VOID = {"meta", "br", "input", "link", "img"}


class Page(HTMLParser):
    """Tags as they open, with their attributes, and what is wrong with how they close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.text: dict[str, list[str]] = {}
        self.feed(text)
        self.wrong += [f"<{tag}> stays open" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
            self.text.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text[self.open[-1]][-1] += data

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


def squeezed(table: str) -> str:
    """A table in Markdown without the spaces that line its columns up."""
    return re.sub(" +", " ", table)


def write(root, change=lambda row: row, **parts):
    params = plant(root)
    evidence = gather(params, root)
    rows = [change(row) for row in judge(measured(evidence), evidence, params.gate)]
    write_report(root / "reports", rows, evidence, params, **{"origin": Origin(), **parts})
    text = (root / "reports" / "index.html").read_text()
    markdown = (root / "reports" / "comparison.md").read_text()
    return SimpleNamespace(text=text, page=Page(text), markdown=markdown, file=root / "reports" / "index.html")


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """All parts, with what others add to rows, and hostile texts."""

    def change(row):
        figures = {**row.figures, "latency_p99_ms": 77.7, "train_payback_hours": None}
        alone = {"1": 3.0, "60": 362.0}
        return replace(row, figures=figures, latency_by_length={"1": 2.0, "60": 181.0}, latency_by_length_one_thread=alone)

    parts = {
        "breakdown": {
            "sets": {"test": {"speaker": [GROUP], "noise": []}, "far": {"speaker": [GROUP]}},
            "confusions": {"test": [CONFUSION], "far": []},
        },
        "worst": [WORST],
        "origin": Origin("abc123", ("x.py",), "fe"),
    }
    return write(tmp_path_factory.mktemp("full"), change, **parts)


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Energy below the resolution, no breakdown of errors, origin unknown."""

    def change(row):
        figures = {**row.figures, "latency_p99_ms": None}
        return replace(row, figures=figures, energy_resolved=False, latency_by_length_one_thread=None)

    return write(tmp_path_factory.mktemp("bare"), change)


def test_tags_are_balanced_ids_are_unique_and_references_exist(full):
    ids = [attributes["id"] for _, attributes in full.page.tags if "id" in attributes]
    assert not full.page.wrong and len(ids) == len(set(ids))
    links = [attributes[key] for _, attributes in full.page.tags for key in ("href", "xlink:href") if key in attributes]
    links += re.findall(r"url\((.*?)\)", full.text)
    assert links and all(link.startswith("#") and link[1:] in ids for link in links)


def test_the_page_asks_nobody_for_anything(full):
    assert not any("src" in attributes for _, attributes in full.page.tags)
    assert not full.page.all("link") and "@import" not in full.text and "fetch(" not in full.text


def test_it_is_read_without_sight_or_mouse(full):
    page = full.page
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1 and all(b <= a + 1 for a, b in zip(levels, levels[1:], strict=False))
    assert page.all("html")[0]["lang"] == "en" and len(page.all("main")) == 1
    assert len(page.all("table")) == len(page.all("caption")) and all(page.text["caption"])
    assert all(th.get("scope") in ("row", "col") for th in page.all("th"))
    assert all(svg["role"] == "img" and len(svg["aria-label"]) > 30 for svg in page.all("svg"))
    assert all(div["tabindex"] == "0" for div in page.all("div") if div.get("class") == "scroll")


def test_the_table_is_whole_without_a_script(full):
    body = full.text.split("<script>")[0]
    table = Page(re.search(r'<table class="sortable">.*?</table>', body, re.DOTALL)[0])
    assert set(FIGURES) == {name for name in table.text["th"] if "." in name} and len(table.all("tr")) == 1 + len(FIGURES)
    assert "data-v" in table.all("td")[0] and not any("hidden" in attributes for _, attributes in table.tags)


def test_the_essential_columns_are_shown_first_and_all_others_by_a_box_that_needs_no_script(full):
    body = full.text.split("<script>")[0]
    pairs = zip(columns_of(body), heads_of(body), strict=True)
    shown = [head for head, attributes in pairs if attributes.get("class") != "rest"]
    assert shown == list(columns.ESSENTIAL) and len(columns_of(body)) > 20
    (box,) = [attributes for attributes in full.page.all("input") if attributes["type"] == "checkbox"]
    assert {"for": box["id"]} in full.page.all("label") and ".all:not(:checked) ~ .scroll .rest { display: none }" in body
    for row in re.findall(r"<tr.*?</tr>", sortable(body), re.DOTALL):
        assert row.count('class="rest"') == len(columns_of(body)) - len(shown), "cells go with their headings"


def sortable(body):
    return re.search(r'<table class="sortable">.*?</table>', body, re.DOTALL)[0]


def heads_of(body):
    return [attributes for attributes in Page(sortable(body)).all("th") if attributes["scope"] == "col"]


def columns_of(body):
    return Page(sortable(body)).text["th"][: len(heads_of(body))]


def test_the_first_column_covers_what_is_scrolled_under_it(full):
    """Without a place of its own in front, the arrows of other headings, which are translucent, are painted over it."""
    (rule,) = re.findall(r"^th:first-child \{.*position: sticky.*\}$", full.text, re.MULTILINE)
    assert "z-index: 1" in rule and "background: Canvas" in rule


def test_hostile_texts_are_shown_and_not_run(full):
    assert len(full.page.all("script")) == 1 and HOSTILE not in full.text and "&lt;script&gt;alert(1)" in full.text


def test_columns_are_there_where_a_variant_has_a_figure(full, bare):
    assert "p99 ms" in full.page.text["th"] and "77.7" in full.text and "p99 ms" in full.markdown
    assert "p99 ms" not in bare.page.text["th"] and "Paid back after h" not in full.page.text["th"]
    assert "Latency by length of audio" in full.text and "Latency by length of audio" not in bare.text
    assert {"60 s", "60 s, one thread"} <= set(full.page.text["th"]) and {"181.0", "362.0"} <= set(full.page.text["td"])
    assert "| 60 | 181.0 | 181.0 | 1.0x | 362.0 | 362.0 | 1.0x |" in squeezed(full.markdown)
    assert "By length of audio" not in bare.markdown


def test_energy_that_is_not_resolved_has_no_column_no_card_and_no_plot(full, bare):
    assert full.text.count("<svg") == 7 and bare.text.count("<svg") == 4, "Pareto 3 or 2, curves 2, lengths 2"
    assert "Wh per audio hour" in full.page.text["th"] and "Wh per audio hour" not in bare.text


def test_errors_are_broken_down_and_the_worst_are_aligned_where_that_is_known(full, bare):
    assert "25.00" in full.page.text["td"] and "By noise" not in full.text
    assert {"By speaker: test", "By speaker: far"} <= set(full.page.text["h3"]) and "far by speaker:" in full.markdown
    assert "Words taken for others: test" in full.page.text["h3"] and "Words of test taken for others:" in full.markdown
    assert "Words taken for others: far" not in full.page.text["h3"] and "<t>" not in full.markdown
    assert full.page.text["del"] == ["two", "three"] and full.page.text["ins"] == ["ten", HOSTILE]
    assert (
        "one [two > ten] [three > ] [ > &lt;script>" in full.markdown
        and "<script" not in full.markdown
        and "| 10.00 | 25.00 |" in squeezed(full.markdown)
    )
    assert not {"errors", "worst"} & {attributes.get("id") for attributes in bare.page.all("h2")}


def test_the_decision_stands_in_plain_words_with_what_to_do(full):
    # planted: 22 and 20 of 2,000 words wrong, 8 of 40 ms, 2 of 8 MB
    (lead,) = re.findall(r'<p class="lead">(.*?)</p>', full.text)
    assert re.findall(r"[\d.,]*\d", lead) == ["5.0", "4.0", "1,000", "11", "10", "1"]
    assert "bigfoot transcribe variants/half.int8-openvino recording.wav" in full.text


def test_where_it_comes_from_is_said_or_said_to_be_unknown(full, bare):
    for report in (full.text, full.markdown):
        assert "abc123, edited since: x.py" in report and "fe (of the stages before compare)" in report
    assert "git checkout abc123" in full.text and "git checkout" not in bare.text
    assert "bigfoot use" in bare.text and "bigfoot use" not in full.text, "it would replace what was compared"
    assert "unknown" in bare.page.text["dd"]


def test_the_hash_of_the_lock_is_of_every_stage_before_compare_and_of_no_other(tmp_path):
    params = plant(tmp_path)
    names = ["prepare", "teacher", "teacher_logits", "benchmark", *(f"student@{name}" for name in params.students)]
    names += [f"{stage}@{slug}" for slug in params.variants for stage in ("quantize", "evaluate")]

    def hashed(**changed):
        stages = {name: {"outs": [{"md5": name}]} for name in names} | changed
        YAML().dump({"stages": {name: stage for name, stage in stages.items() if stage}}, tmp_path / "dvc.lock")
        return origin.lock_hash(tmp_path / "dvc.lock", params)

    assert hashed() == hashed(compare={"outs": []}) and len(hashed()) == 16
    assert all(
        hashed(**{name: {"outs": [{"md5": "other"}]}}) != hashed() for name in ("prepare", "evaluate@half-int8-openvino")
    )
    assert hashed(benchmark=None) is None and origin.lock_hash(tmp_path / "nowhere", params) is None


def test_what_was_edited_is_named_if_it_decides(tmp_path):
    params = plant(tmp_path)
    assert origin.read(tmp_path, params).commit is None

    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments], cwd=tmp_path, check=True)

    git("init", "-q"), git("add", "params.yaml"), git("commit", "-qm", "t")
    (tmp_path / "README.md").write_text("prose decides nothing")
    assert re.fullmatch("[0-9a-f]{40}", origin.read(tmp_path, params).commit) and origin.read(tmp_path, params).edited == ()
    (tmp_path / "params.yaml").write_text("profile: other")
    (tmp_path / "pipeline").mkdir()
    (tmp_path / "pipeline" / "new.py").write_text("")
    assert origin.read(tmp_path, params).edited == ("params.yaml", "pipeline/new.py")


def test_colors_are_told_from_white_and_from_near_black():
    def luminance(color):
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for color in looks.COLORS:
        assert 1.05 / (luminance(color) + 0.05) >= 3 and (luminance(color) + 0.05) / (luminance("#121212") + 0.05) >= 3, color


def test_plots_have_the_ink_and_the_ground_of_the_page(full):
    drawn = re.findall(r"<svg.*?</svg>", full.text, re.DOTALL)
    texts = re.findall(r"<text style=\"(.*?)\"", "".join(drawn))
    assert len(texts) > 50 and all("fill: currentColor" in style for style in texts)
    assert "#ffffff" not in "".join(drawn)


def test_a_figure_that_was_not_measured_is_a_dash_and_never_zero():
    row = Row("a.b", "a", "b", "torch", figures=dict.fromkeys(figures.keys()), gate=Verdict(True, ""))
    assert {column.show(row) for column in columns.known() if column.name not in ("Variant", "Gate")} == {"-"}


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="no chromium here")
def test_a_browser_sorts_by_a_heading_both_ways_and_shows_all_columns_on_request(full, tmp_path):
    """Buttons are pressed as Enter and Space press them, with a click event of no mouse."""
    press = """<script>
    const button = (name) => [...document.querySelectorAll("th button")].find((one) => one.textContent === name);
    const names = () => [...document.querySelectorAll("table.sortable tbody th")].map((one) => one.textContent).join(" ");
    const states = [];
    button("MB").click(); states.push(names());
    button("MB").click(); states.push(names(), button("MB").parentElement.getAttribute("aria-sort"));
    const display = () => getComputedStyle(button("CER %").parentElement).display;
    states.push(display());
    document.querySelector(".all").click(); states.push(display());
    document.title = states.join("|");
    </script></body>"""
    file = tmp_path / "page.html"
    file.write_text(full.text.replace("</body>", press))
    options = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"
    )
    options += " --disable-component-update --virtual-time-budget=5000 --window-size=1280,900 --dump-dom"
    command = ["chromium", *options.split(), f"--user-data-dir={tmp_path}/profile", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=540)
    up, down, order, before, after = re.search("<title>(.*?)</title>", done.stdout)[1].split("|")
    by_size = sorted(FIGURES, key=lambda name: FIGURES[name][1])
    assert up.split() == by_size and down.split() == by_size[::-1] and order == "descending"
    assert before == "none" and after == "table-cell"


def test_the_worst_utterances_can_be_listened_to(tmp_path):
    compared = plant(tmp_path)
    compare(compared, tmp_path, tmp_path / "reports")
    page, worst = (
        (tmp_path / "reports" / "index.html").read_text(),
        json.loads((tmp_path / "reports" / "worst.json").read_text()),
    )
    flac = base64.b64encode(b"no audio").decode()  # what a planted corpus has
    players = re.findall(rf'<audio controls preload="none" aria-label="([^"]+)" src="data:audio/flac;base64,{flac}">', page)
    assert len(set(players)) == len(worst) == 20
    assert "base64" not in str(errors.worst(worst, {("test", row["id"]): bytes(500_000) for row in worst}).parts)


def mistakes(count, test="test", **kinds):
    kinds = dict.fromkeys(("replaced", "lost", "inserted", "slips"), 0) | kinds
    return [{**WORST, "id": f"u{n}", "set": test, "kinds": kinds, "errors": sum(kinds.values())} for n in range(count)]


def test_at_most_twenty_utterances_of_the_page_have_their_audio_and_that_is_said():
    worst = [*mistakes(20, lost=1), *mistakes(20, "far", lost=1)]
    parts = errors.worst(worst, {(each["set"], each["id"]): b"flac" for each in worst}).parts
    heard = [bool(shown.audio) for part in parts if isinstance(part, Alignments) for shown in part.utterances]
    assert len(heard) == 40 and sum(heard) == 20 and sum(heard[:20]) == 10, "as many of each set"
    assert str(parts).count("10 of 20 have their audio here") == 2


def test_utterances_that_are_only_misspelled_are_folded_apart_from_lost_words():
    worst = [*mistakes(2, lost=1, slips=3), *mistakes(3, slips=1)]
    open_, folded = [part for part in errors.worst(worst, {}).parts if isinstance(part, Alignments)]
    assert (open_.summary, len(open_.utterances)) == ("", 2) and len(folded.utterances) == 3
    assert folded.summary == "3 more of test with misspelled words alone"
    assert open_.utterances[0].title.endswith("half.int8-openvino 4 wrong (1 lost, 3 misspelled)")
