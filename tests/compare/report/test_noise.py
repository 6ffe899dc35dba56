"""The errors in noise stand in Markdown and on the page where params ask for them."""

import json

from pipeline.compare.run import compare
from tests.planted import plant

RATES = {"wer": 0.123, "cer": 0.05, "wer_low": 0.1, "wer_high": 0.15, "cer_low": 0.04, "cer_high": 0.06}


def test_each_ratio_is_a_column_with_rate_and_interval(tmp_path):
    settings = plant(tmp_path)
    compare(settings, tmp_path, tmp_path / "without")
    for path in (tmp_path / "scores").glob("*.json"):
        noisy = [{"snr_db": 20.0, **RATES}, {"snr_db": 5.0, **RATES, "wer": 0.4}]
        path.write_text(json.dumps({**json.loads(path.read_text()), "noisy": noisy}))
    compare(settings, tmp_path, tmp_path / "with")

    markdown = (tmp_path / "with/comparison.md").read_text().splitlines()
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in markdown if "[10.00, 15.00]" in line]
    heads = next(line for line in markdown if "20 dB" in line)
    assert [cell.strip() for cell in heads.split("|")[1:-1]] == ["Variant", "as recorded", "20 dB", "5 dB"]
    assert [line[0] for line in lines][:3] == ["teacher.fp32", "teacher.int8-onnx", "half.int8-openvino"]
    assert lines[0][2:] == ["12.30 [10.00, 15.00]", "40.00 [10.00, 15.00]"]
    assert 'id="noise"' in (tmp_path / "with/index.html").read_text()
    for name in ("comparison.md", "index.html"):
        assert "as recorded" not in (tmp_path / "without" / name).read_text()
