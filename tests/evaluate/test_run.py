"""A score is of files alone: the same variant and corpus give the same bytes, and shifted references show at once."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from pipeline import params
from pipeline.common.errors import BigfootError
from pipeline.evaluate import pieces, run, scores
from pipeline.evaluate.noise import Noise, snr_db
from pipeline.evaluate.run import evaluate
from pipeline.quantize.run import quantize
from pipeline.recognition import gpu, seal
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech import audio
from pipeline.speech.corpus import open_corpus
from pipeline.speech.shards import Utterance
from tests import corpora
from tests.tiny import save_model, speech

SETTINGS = params.Evaluate(bootstrap=200)


@pytest.fixture(scope="module")
def variant(tmp_path_factory):
    place = tmp_path_factory.mktemp("variant")
    quantize("fp32-onnx", {}, save_model(place / "teacher", hidden=64), None, place / "teacher.fp32-onnx")
    return place / "teacher.fp32-onnx"


@pytest.fixture
def corpus(tmp_path, variant):
    """Five utterances in dev and in two test sets, whose references are the variant's own texts: nothing is wrong."""
    recognizer = Recognizer.load(variant)
    splits: dict[str, list] = {"train": [], "dev": [], "test": [], "test-noisy": []}
    for split in ("dev", "test", "test-noisy"):
        for i in range(5):
            flac = audio.flac(speech(0.7 + 0.1 * i, seed=i + len(split)))
            text = recognizer.transcribe(audio.read(flac))
            assert text
            splits[split].append((Utterance(f"{split}{i}", text, "", 0.7 + 0.1 * i), flac))
    return corpora.write(tmp_path / "corpus", splits)


def test_dev_gate_and_every_test_set_are_scored_and_the_first_is_named(variant, corpus, tmp_path):
    scored = evaluate(SETTINGS, variant, open_corpus(corpus), tmp_path / "scores/a.json", tmp_path / "scratch")
    assert scores.read(tmp_path / "scores/a.json", "a") == scored
    assert list(scored.sets) == ["dev", "gate", "test", "test-noisy"] and scored.first_test == "test"
    assert scored.variant == "teacher.fp32-onnx"
    for one in scored.sets.values():
        assert one.wer == one.cer == 0 and one.wer_high > 0 and len(one.hypotheses) == 5
        assert one.cer_high == pytest.approx(one.wer_high) and all(isinstance(row.snr_db, float) for row in one.hypotheses)


def test_the_first_test_set_is_also_heard_live_with_each_right_context_that_params_ask_for(variant, corpus, tmp_path):
    settings = params.Evaluate(bootstrap=200, live={"right": [0, 0.32, 9]})
    scored = evaluate(settings, variant, open_corpus(corpus), tmp_path / "scores/a.json", tmp_path / "scratch")
    none, some, all_of_it = scored.live

    assert scores.read(tmp_path / "scores/a.json", "a") == scored
    assert [(one.chunk, one.left, one.right) for one in scored.live] == [(0.32, 1.28, right) for right in (0, 0.32, 9)]
    assert none.rise == none.wer > some.wer > 0 and none.rise_low <= none.rise <= none.rise_high and none.cer > 0
    assert (all_of_it.wer, all_of_it.rise) == (0, 0) and all_of_it.rise_low == -all_of_it.rise_high < 0


def test_the_first_test_set_is_also_recognized_with_more_noise(variant, corpus, tmp_path):
    settings = params.Evaluate(bootstrap=200, noise_snr_db=[90, 0])
    scored = evaluate(settings, variant, open_corpus(corpus), tmp_path / "scores/a.json", tmp_path / "scratch")
    faint, loud = scored.noisy

    assert scores.read(tmp_path / "scores/a.json", "a") == scored
    assert (faint.snr_db, faint.wer, loud.snr_db) == (90, 0, 0) and loud.wer > 0 and loud.wer_low is None
    again = evaluate(settings, variant, open_corpus(corpus), tmp_path / "scores/b.json", tmp_path / "scratch")
    assert again.noisy == scored.noisy


def test_added_noise_has_the_level_asked_for_and_is_of_its_utterance():
    tone = np.sin(np.arange(16000) / 9).astype(np.float32)
    rest = Noise(10.0, seed=1).added(tone, 0) - tone
    assert 10 * np.log10((tone**2).sum() / (rest**2).sum()) == pytest.approx(10, abs=0.1)
    assert not np.array_equal(rest, Noise(10.0, seed=1).added(tone, 1) - tone)
    assert not Noise(10.0, seed=1).added(np.zeros(10, np.float32), 0).any()


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_batches_of_a_gpu_have_the_text_of_single_utterances(corpus, norm, device, tmp_path, monkeypatch):
    if device == "cuda" and gpu.name() is None:
        pytest.skip("this machine has no GPU; the same batches run on the CPU")
    if device == "cpu":
        monkeypatch.setattr(gpu, "missing", lambda runtime: None)
    quantize("fp32", {}, save_model(tmp_path / "teacher", norm=norm), None, tmp_path / "teacher.fp32")
    monkeypatch.setattr(gpu, "DEVICE", device)
    texts = []
    for is_on_gpu in (False, True):
        monkeypatch.setattr(gpu, "scores", lambda info, answer=is_on_gpu: answer)
        scored = evaluate(SETTINGS, tmp_path / "teacher.fp32", open_corpus(corpus), tmp_path / "a.json", tmp_path / "scratch")
        texts.append([row.hypothesis for one in scored.sets.values() for row in one.hypotheses])
    assert texts[0] == texts[1] and len("".join(texts[0])) > 50


@pytest.mark.parametrize("scheme", ["fp16-cuda", "fp16-onnx-cuda"])
def test_a_variant_for_a_gpu_is_scored_in_its_precision_on_a_machine_without_one(
    variant, corpus, scheme, tmp_path, monkeypatch
):
    monkeypatch.setattr(gpu, "name", lambda: None)
    quantize(scheme, {}, save_model(tmp_path / "tiny"), None, tmp_path / f"tiny.{scheme}")
    scored = evaluate(SETTINGS, tmp_path / f"tiny.{scheme}", open_corpus(corpus), tmp_path / "a.json", tmp_path / "scratch")
    texts = [row.hypothesis for one in scored.sets.values() for row in one.hypotheses]
    assert scored.variant == f"tiny.{scheme}" and len("".join(texts)) > 50


def test_hypotheses_meet_the_users_table_only_if_asked_to(variant, corpus, tmp_path):
    info = json.loads((corpus / "corpus.json").read_text())
    letter = next(c for c in open_corpus(corpus).utterances("dev")[0].text if c != " ")
    for asked in (False, True):
        rules = {"replace": {letter: "ö"}, "replace_hypotheses": asked}
        (corpus / "corpus.json").write_text(json.dumps({**info, "text": rules, "language": "de"}))
        dev = evaluate(SETTINGS, variant, open_corpus(corpus), tmp_path / "scores/a.json", tmp_path / "scratch").sets["dev"]
        assert (dev.cer > 0) is asked and any("ö" in row.hypothesis for row in dev.hypotheses) is asked


def test_the_same_files_give_the_same_bytes(variant, corpus, tmp_path):
    for name in ("a", "b"):
        evaluate(SETTINGS, variant, open_corpus(corpus), tmp_path / name, tmp_path / "scratch")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_score_names_the_weights_it_is_of_and_a_swapped_file_is_refused(variant, corpus, tmp_path):
    swapped = shutil.copytree(variant, tmp_path / variant.name)
    scored = evaluate(SETTINGS, swapped, open_corpus(corpus), tmp_path / "a.json", tmp_path / "scratch")
    assert scored.files == seal.mark(json.loads((swapped / "variant.json").read_text()))
    weights = bytearray((swapped / "model.onnx").read_bytes())
    weights[-1] ^= 1
    (swapped / "model.onnx").write_bytes(weights)
    with pytest.raises(BigfootError, match="but not the content"):
        evaluate(SETTINGS, swapped, open_corpus(corpus), tmp_path / "b.json", tmp_path / "scratch")
    assert not (tmp_path / "b.json").exists()


def test_references_shifted_by_one_are_seen(variant, corpus, tmp_path):
    def shift(splits: dict) -> None:
        texts = [row.text for row, _ in splits["test"]]
        shifted = zip(splits["test"], texts[1:] + texts[:1], strict=True)
        splits["test"] = [(replace(row, text=text), flac) for (row, flac), text in shifted]

    corpora.rewrite(corpus, shift)
    scored = evaluate(SETTINGS, variant, open_corpus(corpus), tmp_path / "a.json", tmp_path / "scratch")
    assert scored.sets["test"].wer > 0.5 and scored.sets["dev"].wer == 0


def test_a_run_that_was_stopped_recognizes_only_what_is_left(variant, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE", 2)
    whole = evaluate(SETTINGS, variant, open_corpus(corpus), tmp_path / "whole.json", tmp_path / "scratch")
    calls: list[int] = []
    transcribe = Recognizer.transcribe_batch

    def stopped(self, audios):
        calls.append(len(audios))
        if len(calls) == 9:
            raise KeyboardInterrupt
        return transcribe(self, audios)

    monkeypatch.setattr(Recognizer, "transcribe_batch", stopped)
    with pytest.raises(KeyboardInterrupt):
        evaluate(SETTINGS, variant, open_corpus(corpus), tmp_path / "a.json", tmp_path / "scratch")
    assert evaluate(SETTINGS, variant, open_corpus(corpus), tmp_path / "a.json", tmp_path / "scratch") == whole
    assert len(calls) == 9 + 20 - 7  # of 20; the piece that it was stopped in began with the eighth, and dev's last has one
    assert not (tmp_path / "scratch").exists()


def test_much_audio_is_recognized_in_processes_with_the_same_texts(variant, corpus, tmp_path, monkeypatch):
    one = evaluate(SETTINGS, variant, open_corpus(corpus), tmp_path / "one.json", tmp_path / "scratch")
    monkeypatch.setattr(run, "MUCH_AUDIO", 1.0)
    assert evaluate(SETTINGS, variant, open_corpus(corpus), tmp_path / "two.json", tmp_path / "scratch") == one


def test_a_part_of_each_set_is_drawn_once_for_all_variants(variant, corpus, tmp_path):
    part = params.Evaluate(bootstrap=200, max_hours=2.0 / 3600)
    scored = [
        evaluate(part, variant, open_corpus(corpus), tmp_path / name, tmp_path / "scratch").sets["test"] for name in ("a", "b")
    ]
    chosen = [row.id for row in scored[0].hypotheses]
    assert scored[0] == scored[1] and len(chosen) == scored[0].utterances == 2 and chosen == sorted(chosen)
    others = params.Evaluate(bootstrap=200, max_hours=2.0 / 3600, seed=1)
    other = evaluate(others, variant, open_corpus(corpus), tmp_path / "c", tmp_path / "scratch").sets["test"]
    assert [row.id for row in other.hypotheses] != chosen


def test_without_a_variant_it_is_one_line_and_nothing_is_written(corpus, tmp_path):
    with pytest.raises(BigfootError, match="variant.json"):
        evaluate(SETTINGS, tmp_path / "nowhere", open_corpus(corpus), tmp_path / "scores/a.json", tmp_path / "scratch")
    assert not (tmp_path / "scores").exists()


# ---------------------------------------------------------------- noise


def beeps(noise: float, seconds: float = 2.0) -> np.ndarray:
    """A tone of power 0.125 every other 100 ms, over white noise of that power."""
    time = np.arange(int(16_000 * seconds)) / 16_000
    tone = 0.5 * np.sin(2 * np.pi * 440 * time) * (time % 0.2 < 0.1)
    return (tone + np.sqrt(noise) * np.random.default_rng(3).standard_normal(len(time))).astype(np.float32)


@pytest.mark.parametrize("decibels", [10, 20, 30])
def test_the_noise_that_was_added_is_found(decibels):
    found = snr_db(beeps(0.125 / 10 ** (decibels / 10)))
    assert found == pytest.approx(10 * np.log10(1 + 10 ** (decibels / 10)), abs=1.0)  # loud frames hold the noise too


def test_loudness_and_an_offset_change_nothing():
    quiet = beeps(0.00125)
    assert snr_db(0.1 * quiet + np.float32(0.3)) == pytest.approx(snr_db(quiet), abs=0.05)


def test_digital_pauses_count_as_16_bit_rounding():
    assert snr_db(beeps(0.0)) == pytest.approx(10 * np.log10(0.125 * 12 * 32768**2), abs=0.3)


def test_silence_and_too_short_a_sound_have_no_figure():
    assert snr_db(np.zeros(16_000, np.float32)) is None
    assert snr_db(np.full(16_000, 0.5, np.float32)) is None
    assert snr_db(beeps(0.001, 0.2)) is None and snr_db(beeps(0.001, 0.25)) is not None
