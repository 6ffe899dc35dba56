"""A variant is opened only as it was made: its weights, and every letter of variant.json, or one line says what is wrong."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.common import sums
from pipeline.common.errors import BigfootError
from pipeline.common.files import sealed, sha256
from pipeline.quantize.run import quantize
from pipeline.recognition import seal
from pipeline.recognition.recognizer import Recognizer
from tests.tiny import save_model, speech

AUDIO = speech(0.5)


@pytest.fixture(scope="module")
def variant(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sealed")
    quantize("fp32-onnx", {}, save_model(folder / "one"), None, folder / "one.fp32-onnx")
    quantize("fp32-onnx", {}, save_model(folder / "two", seed=1), None, folder / "two.fp32-onnx")
    return folder / "one.fp32-onnx"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Where the sums of opened variants are remembered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def hashed(monkeypatch):
    """The names of the files whose sum was computed."""
    names: list[str] = []

    def noted(path: Path) -> str:
        names.append(path.name)
        return sha256(path)

    monkeypatch.setattr(sums, "sha256", noted)
    return names


def flip(file: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def old(info: dict) -> dict:
    """variant.json as the version before wrote it: without a seal of its own."""
    return {key: value for key, value in info.items() if key not in ("version", "sha256")}


# ---------------------------------------------------------------- the weights


def test_a_truncated_model_is_one_line(variant, tmp_path):
    copy = shutil.copytree(variant, tmp_path / "cut")
    file = copy / "model.onnx"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BigfootError, match=r"model\.onnx .*cut off") as raised:
        Recognizer.load(copy)
    assert "\n" not in str(raised.value)


def test_weights_of_another_model_are_detected_by_their_sum(variant, tmp_path):
    copy = shutil.copytree(variant, tmp_path / "swapped")
    shutil.copyfile(variant.with_name("two.fp32-onnx") / "model.onnx", copy / "model.onnx")
    seal.read(variant)
    with pytest.raises(BigfootError, match=r"model\.onnx has the size but not the content"):
        Recognizer.load(copy)


def test_a_variant_that_was_whole_is_not_read_again_until_it_changes(variant, tmp_path, cache, hashed):
    copy = shutil.copytree(variant, tmp_path / "opened")
    Recognizer.load(copy)
    assert "model.onnx" in hashed
    hashed.clear()
    Recognizer.load(copy)
    assert not hashed
    os.utime(copy / "model.onnx")
    Recognizer.load(copy)
    assert "model.onnx" in hashed
    flip(copy / "model.onnx")
    with pytest.raises(BigfootError, match=r"model\.onnx has the size but not the content"):
        Recognizer.load(copy)


def test_what_is_remembered_of_one_folder_is_not_true_of_its_copy(variant, tmp_path, cache, hashed):
    Recognizer.load(shutil.copytree(variant, tmp_path / "one"))
    hashed.clear()
    Recognizer.load(shutil.copytree(variant, tmp_path / "two"))
    assert "model.onnx" in hashed


@pytest.mark.parametrize("damage", ["a file in its place", "torn", "not text"])
def test_a_cache_that_can_not_be_used_costs_no_more_than_hashing_again(variant, tmp_path, cache, hashed, damage):
    copy = shutil.copytree(variant, tmp_path / "opened")
    Recognizer.load(copy)
    (slot,) = cache.glob("bigfoot/sums/*")
    if damage == "a file in its place":
        shutil.rmtree(cache)
        cache.write_text("")
    else:
        slot.write_bytes(slot.read_bytes()[:9] if damage == "torn" else b"\xff")
    hashed.clear()
    Recognizer.load(copy)
    assert "model.onnx" in hashed


# ---------------------------------------------------------------- variant.json


def test_a_folder_without_a_seal_opens(variant, tmp_path):
    copy = shutil.copytree(variant, tmp_path / "old")
    info = old(json.loads((copy / "variant.json").read_text()))
    (copy / "variant.json").write_text(json.dumps(info))
    assert Recognizer.load(copy).logits(AUDIO).shape[0] > 10
    flip(copy / "model.onnx")
    with pytest.raises(BigfootError, match=r"model\.onnx"):
        Recognizer.load(copy)
    del info["files"]
    shutil.copyfile(variant / "model.onnx", copy / "model.onnx")
    (copy / "variant.json").write_text(json.dumps(info))
    assert Recognizer.load(copy).logits(AUDIO).shape[0] > 10


def test_another_letter_in_the_vocabulary_is_found(variant, tmp_path):
    copy = shutil.copytree(variant, tmp_path / "spelled")
    text = (copy / "variant.json").read_text()
    (copy / "variant.json").write_text(text.replace('"e"', '"x"', 1))
    with pytest.raises(BigfootError, match=r"variant\.json was changed after it was made"):
        Recognizer.load(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 3}, "has version 3, newer than this Bigfoot's 2: update Bigfoot"),
        ({"files": {}}, "has lost its seal"),
        ({"file": "../model.onnx"}, "which is not in its folder"),
        ({"vocab": ["a"], "blank": 1}, "blank is 1, of 1 tokens"),
        ({"conv_strides": [1 << 40] * 7}, "are not those of convolutions"),
        ({"sample_rate": 8000}, "sample_rate is 8000, not 16000"),
        ({"normalize": "yes"}, ": normalize is a string where true or false belongs"),
    ],
)
def test_what_a_seal_of_its_own_does_not_mend_is_said(variant, tmp_path, change, message):
    copy = shutil.copytree(variant, tmp_path / "resealed")
    info = json.loads((copy / "variant.json").read_text())
    (copy / "variant.json").write_text(json.dumps(sealed(info | change)))
    with pytest.raises(BigfootError) as refused:
        Recognizer.load(copy)
    assert message in str(refused.value) and "\n" not in str(refused.value)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 40), st.sampled_from([2**31, 2**63, 10**30, -1, 0.5, 1e300, "", "x", "é\n"]),
    st.sampled_from([[], {}, [[]], [None], ["a"] * 300, {"a": {"b": [1]}}, "../../etc/passwd", "model.onnx\0", "\ud800"]),
)  # fmt: skip


def places(content: object, where: tuple = ()) -> list[tuple]:
    """The way to every value of a JSON document, itself excluded."""
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [place for key, value in items for place in ((*where, key), *places(value, (*where, key)))]


@st.composite
def mutated(draw, info: dict) -> bytes:
    """variant.json after one damage: a value dropped, replaced, renamed or repeated, a bit flipped, or the end lost."""
    kind = draw(st.sampled_from(["drop", "replace", "rename", "wrap", "letter", "cut"]))
    whole = json.dumps(info, indent=1, ensure_ascii=False).encode()
    if kind == "cut":
        return whole[: draw(st.integers(0, len(whole) - 2))]
    if kind == "letter":
        at, bit = draw(st.integers(0, len(whole) - 1)), draw(st.integers(0, 7))
        return whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]
    *way, last = draw(st.sampled_from(places(info)))
    copy = deepcopy(info)
    inside = copy
    for key in way:
        inside = inside[key]
    if kind == "drop":
        del inside[last]
    elif kind == "rename" and isinstance(inside, dict):
        inside[f"{last}_"] = inside.pop(last)
    elif kind == "wrap":
        inside[last] = draw(st.sampled_from([[inside[last]], {"value": inside[last]}, [inside[last]] * 3]))
    else:
        inside[last] = draw(VALUES)
    return json.dumps(copy).encode()


def outcome(folder: Path) -> str | None:
    """The text of the audio; None where one line refuses the variant."""
    try:
        return Recognizer.load(folder, threads=1).transcribe(AUDIO)
    except BigfootError as error:
        assert str(error).strip() and "\n" not in str(error)
        return None


def outcomes(variant: Path, info: dict, folder: Path, record: Callable[[str, int], None]) -> Counter:
    """How often one line refuses a copy of the variant whose variant.json is damaged, and the texts of the others."""
    counts, whole = Counter(), outcome(variant)
    shutil.copytree(variant, folder)

    @given(mutated(info))
    @settings(max_examples=500)
    def run(damaged: bytes) -> None:
        (folder / "variant.json").write_bytes(damaged)
        text = outcome(folder)
        counts["refused" if text is None else "same" if text == whole else "other"] += 1

    run()
    for name, number in {"tried": counts.total(), "refused": 0, "same": 0, "other": 0, **counts}.items():
        record(name, number)
    return counts


@pytest.mark.shows("damaged", "variant.json, mutated", "the file is named")
def test_no_damage_to_variant_json_gives_another_text_or_a_traceback(variant, tmp_path, record_property):
    info = json.loads((variant / "variant.json").read_text())
    assert not outcomes(variant, info, tmp_path / "mutated", record_property)["other"]


@pytest.mark.shows("damaged", "variant.json of the version before, which has no seal, mutated", "no traceback")
def test_no_damage_to_one_of_the_version_before_gives_a_traceback(variant, tmp_path, record_property):
    info = old(json.loads((variant / "variant.json").read_text()))
    outcomes(variant, info, tmp_path / "mutated", record_property)
