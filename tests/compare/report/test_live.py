"""The errors of live recognition stand in Markdown and on the page where params ask for them, beside what the latency is."""

import json

from pipeline.compare.run import compare
from tests.planted import plant

LIVE = {
    "chunk": 0.32,
    "left": 1.28,
    "right": 0.32,
    "wer": 0.123,
    "cer": 0.05,
    "rise": 0.0123,
    "rise_low": -0.01,
    "rise_high": 0.03,
}


def test_each_right_context_is_a_line_with_its_latency_and_rise(tmp_path):
    settings = plant(tmp_path)
    compare(settings, tmp_path, tmp_path / "without")
    path = tmp_path / "scores/half.int8-openvino.json"
    score = json.loads(path.read_text())
    path.write_text(json.dumps({**score, "live": [LIVE, {**LIVE, "right": 9.0}]}))
    compare(settings, tmp_path, tmp_path / "with")

    markdown = (tmp_path / "with/comparison.md").read_text()
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in markdown.splitlines() if "[-1.00, +3.00]" in line]
    assert [line[:3] for line in lines] == [["half.int8-openvino", "0.32", "0.64"], ["half.int8-openvino", "9", "9.32"]]
    assert lines[0][4:] == ["12.30", "+1.23 [-1.00, +3.00]"]
    assert "chunks of 0.32 s with 1.28 s before each" in markdown
    assert 'id="live"' in (tmp_path / "with/index.html").read_text()
    for name in ("comparison.md", "index.html"):
        assert "live" not in (tmp_path / "without" / name).read_text().lower().replace("deliver", "")
