"""The store returns the teacher's logits of each utterance, without padding frames, in half precision."""

import json
import logging
import multiprocessing
import tracemalloc
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from transformers import AutoModelForCTC, AutoProcessor, Wav2Vec2Config, Wav2Vec2ForCTC

from pipeline.common import sums
from pipeline.common.errors import BigfootError
from pipeline.common.files import sha256_of
from pipeline.distill import student
from pipeline.distill.logits import work, write
from pipeline.distill.logits.speeds import AtSpeed, AtSpeeds
from pipeline.distill.logits.store import STORE_VERSION, Index, LogitsStore, digests, shard_path, write_index
from pipeline.models import bf16 as bf16_convolutions
from pipeline.models import inference
from pipeline.models.folder import load_model
from pipeline.models.forward import accept_features, fewest_samples
from pipeline.params import Logits, Student, Tracking
from pipeline.project import Project
from pipeline.speech.corpus import UNLABELLED, Corpus, open_corpus
from pipeline.speech.shards import Utterance
from pipeline.train.bookkeeping import Bookkeeping
from tests import corpora
from tests.tiny import VOCAB, save_model, speech

SECONDS = {"train": (0.5, 1.3, 0.9, 0.5, 1.1), "unlabelled": (0.7, 1.2)}
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
         "num_conv_pos_embedding_groups": 4}  # fmt: skip


@pytest.fixture
def corpus(tmp_path) -> Corpus:
    splits: dict = {"dev": [], "test": []} | {
        split: [(Utterance(f"{split}{i}", "a", "", length), speech(length, seed=i)) for i, length in enumerate(lengths)]
        for split, lengths in SECONDS.items()
    }
    return open_corpus(corpora.write(tmp_path / "corpora/noise", splits))


@pytest.fixture(autouse=True)
def three_utterances_per_file(monkeypatch):
    monkeypatch.setattr(work, "SHARD", 3)


def stored(tmp_path, corpus: Corpus, teacher, name: str = "logits", **settings) -> LogitsStore:
    write.store_logits(Logits(**settings), teacher, corpus, tmp_path / "checkpoints", tmp_path / name)
    return LogitsStore(tmp_path / name, corpus)


def all_at(corpus: Corpus, speeds: list[float]) -> list[Utterance]:
    return [utterance for split in SECONDS for utterance in AtSpeeds(corpus, speeds).utterances(split)]


def files(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_every_utterance_gets_the_teachers_logits_of_it_alone(tmp_path, corpus, norm):
    folder = save_model(tmp_path / "teacher", norm)
    store = stored(tmp_path, corpus, folder)
    assert sorted(files(tmp_path / "logits")) == [*(f"0000{n}.safetensors" for n in range(3)), "index.json"]
    model, processor = AutoModelForCTC.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    for utterance in all_at(corpus, [1.0]):
        inputs = processor(corpus.audio(utterance), sampling_rate=16000, return_tensors="pt").input_values
        with torch.inference_mode():
            expected = model(inputs).logits[0].numpy()
        kept = store.logits(utterance)
        assert kept.dtype == np.float16 and kept.shape == expected.shape and kept.shape[1] == len(VOCAB)
        np.testing.assert_allclose(kept, expected, atol=5e-3)


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_the_feature_encoders_output_is_stored_on_request(tmp_path, corpus, norm):
    folder = save_model(tmp_path / "teacher", norm)
    store = stored(tmp_path, corpus, folder, features=True)
    model, processor = AutoModelForCTC.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    assert store.channels == model.config.conv_dim[-1]
    for utterance in all_at(corpus, [1.0]):
        inputs = processor(corpus.audio(utterance), sampling_rate=16000, return_tensors="pt").input_values
        with torch.inference_mode():
            expected = model.wav2vec2.feature_extractor(inputs)[0].T.numpy()
        kept = store.features(utterance)
        assert kept.dtype == np.float16 and kept.shape == expected.shape and len(kept) == len(store.logits(utterance))
        np.testing.assert_allclose(kept, expected, atol=5e-3)
    accept_features(model)
    with torch.inference_mode():
        logits = model(torch.from_numpy(kept[None].astype(np.float32))).logits[0].numpy()
    np.testing.assert_allclose(logits, store.logits(utterance), atol=0.05 * logits.std())


def test_features_are_read_only_where_they_are_stored_and_the_encoder_equals_the_teachers(tmp_path, corpus):
    folder = save_model(tmp_path / "models/teacher")
    model = AutoModelForCTC.from_pretrained(folder)
    without, with_features = stored(tmp_path, corpus, folder), stored(tmp_path, corpus, folder, "more", features=True)
    assert without.channels is None
    with pytest.raises(BigfootError, match=r"students\.half\.distillation\.features: .*logits\.features"):
        student._check_feature_encoder("half", model, without, folder)
    student._check_feature_encoder("half", model, with_features, folder)
    model.wav2vec2.feature_extractor.conv_layers[3].conv.weight.data[0, 0, 0] += 1e-6
    with pytest.raises(BigfootError, match=r"students\.half\.distillation\.features: conv_layers\.3\.conv\.weight"):
        student._check_feature_encoder("half", model, with_features, folder)


@pytest.mark.parametrize(
    ("kernels", "strides"), [([10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2]), ([20, 7, 5, 2], [10, 4, 4, 2])]
)
def test_fewest_samples_give_the_number_of_frames_and_one_sample_less_does_not(kernels, strides):
    model = Wav2Vec2ForCTC(Wav2Vec2Config(**SMALL, conv_kernel=kernels, conv_stride=strides, conv_dim=[8] * len(kernels)))
    for frames in (1, 2, 75):
        samples = fewest_samples(model.config, frames)
        assert int(model._get_feat_extract_output_lengths(samples)) == frames
        assert int(model._get_feat_extract_output_lengths(samples - 1)) == frames - 1


def test_student_audio_and_stored_logits_agree_at_every_speed(tmp_path, corpus):
    folder, speeds = save_model(tmp_path / "teacher"), [0.9, 1.0, 1.25]
    store, at_speeds = stored(tmp_path, corpus, folder, speeds=speeds), AtSpeeds(corpus, speeds)
    assert store.speeds == speeds
    model, processor = load_model(folder)
    utterances = all_at(corpus, speeds)
    for utterance, logits in inference.frame_logits(model, processor, at_speeds, utterances):
        samples = at_speeds.audio(utterance)
        assert len(samples) / 16000 == pytest.approx(utterance.duration, abs=1e-3)
        assert len(store.logits(utterance)) == int(model._get_feat_extract_output_lengths(len(samples)))
        np.testing.assert_allclose(store.logits(utterance), logits, atol=5e-3)
    ids = [utterance.id for utterance in utterances]
    assert ids[0] == "train0@0.9" and {"train0", "train4@1.25", "unlabelled1@0.9"} < set(ids) and len(ids) == 21


def test_values_are_those_of_one_pass_over_the_whole_corpus_to_the_last_digit_of_half_precision(tmp_path, corpus, monkeypatch):
    """Where one file holds the corpus they are the same to the bit, because batches are the same."""
    folder = save_model(tmp_path / "teacher")
    model, processor = load_model(folder)
    in_parts = stored(tmp_path, corpus, folder, "parts")
    monkeypatch.setattr(work, "SHARD", 512)
    at_once = stored(tmp_path, corpus, folder)
    for utterance, logits in inference.frame_logits(model, processor, corpus, all_at(corpus, [1.0])):
        assert np.array_equal(at_once.logits(utterance), logits.astype(np.float16))
        np.testing.assert_allclose(in_parts.logits(utterance), logits, rtol=2**-10, atol=1e-4)


def test_the_likeliest_tokens_alone_are_read_as_probabilities_of_all(tmp_path, corpus):
    folder = save_model(tmp_path / "teacher")
    exact, kept = stored(tmp_path, corpus, folder), stored(tmp_path, corpus, folder, "kept", top_k=8)
    size = [sum(len(content) for content in files(tmp_path / name).values()) for name in ("logits", "kept")]
    assert size[1] < 0.6 * size[0]
    for utterance in all_at(corpus, [1.0]):
        teacher, read = (torch.from_numpy(store.logits(utterance)).float().softmax(-1) for store in (exact, kept))
        likeliest = teacher.topk(6).indices  # the eighth may be as likely as the ninth
        assert torch.allclose(read.gather(1, likeliest), teacher.gather(1, likeliest), rtol=0.02)
        assert torch.allclose(read.sum(-1), torch.ones(len(read)))


def test_under_bfloat16_the_logits_are_nearly_those_in_float32(tmp_path, corpus):
    """On a CPU, which takes the same way as a GPU."""
    for norm in ("group", "layer"):
        model, processor = load_model(save_model(tmp_path / norm, norm))
        bf16_convolutions.mend(model)
        utterances = corpus.utterances("train")
        rounded, exact = (
            next(inference.outputs(model, processor, corpus, utterances, [[0, 1, 2]], bf16=bf16)) for bf16 in (True, False)
        )
        assert rounded.logits.dtype == torch.float32 and not torch.equal(rounded.logits, exact.logits)
        error = (rounded.logits - exact.logits)[1].std() / exact.logits[1].std()
        assert error < 0.03
        assert torch.equal(rounded.features, exact.features) is (norm == "group")


def test_audio_read_ahead_by_other_processes_gives_the_same(tmp_path, corpus):
    folder = save_model(tmp_path / "teacher")
    # In a process of its own: other tests may have started Prefect's threads in this one, whose forks end with an error.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        alone, helped = (process.submit(read_ahead, folder, corpus.folder, workers).result() for workers in (0, 2))
    assert [rows for rows, _ in helped] == [[0, 3], [1], [2, 4]]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(alone, helped, strict=True))


def read_ahead(teacher: Path, corpus: Path, workers: int) -> list[tuple[list[int], np.ndarray]]:
    model, processor = load_model(teacher)
    opened = open_corpus(corpus)
    batches = inference.outputs(model, processor, opened, opened.utterances("train"), [[0, 3], [1], [2, 4]], workers)
    return [(batch.rows, batch.logits.numpy()) for batch in batches]


def test_measuring_on_dev_draws_nothing_from_the_generator_of_the_training(tmp_path, corpus):
    model, processor = load_model(save_model(tmp_path / "teacher"))
    torch.manual_seed(1)
    list(inference.frame_logits(model, processor, corpus, corpus.utterances("train")))
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(1))


def test_what_is_stored_how_large_it_is_and_how_long_it_takes_is_said_before(tmp_path, corpus, caplog):
    folder = save_model(tmp_path / "teacher")
    with caplog.at_level(logging.INFO):
        stored(tmp_path, corpus, folder)
    size = sum(len(content) for name, content in files(tmp_path / "logits").items() if name != "index.json") / 1e6
    said = "7 utterances, 0.00 h, 32 of 32 tokens in half precision: 0.0 MB in 3 files, 3 of them to be made, in float32 by 1 x"
    assert said in caplog.text and size < 0.05 and "which takes about 0:0" in caplog.text


def test_a_run_that_failed_goes_on_with_the_file_that_it_was_at(tmp_path, corpus, monkeypatch, caplog):
    folder = save_model(tmp_path / "teacher")
    stored(tmp_path, corpus, folder, "undisturbed")
    audio = Corpus.audio
    with monkeypatch.context() as patch:
        patch.setattr(Corpus, "audio", lambda self, utterance: audio(self, utterance) if utterance.row != 3 else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            stored(tmp_path, corpus, folder)
    assert not (tmp_path / "logits").exists()
    with pytest.raises(BigfootError, match=r"index.json is missing: run `dvc repro teacher_logits`"):
        LogitsStore(tmp_path / "logits", corpus)
    heard = []
    monkeypatch.setattr(Corpus, "audio", lambda self, utterance: heard.append(utterance.id) or audio(self, utterance))
    stored(tmp_path, corpus, folder)
    assert sorted(heard) == ["train3", "train4", "unlabelled0", "unlabelled1"]
    assert files(tmp_path / "logits") == files(tmp_path / "undisturbed")
    assert not list((tmp_path / "checkpoints").iterdir())


def test_what_another_teacher_left_half_done_is_not_used(tmp_path, corpus):
    own = files(stored(tmp_path, corpus, save_model(tmp_path / "one"), "of_one").folder)
    other = save_model(tmp_path / "teacher", seed=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "write_index", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            stored(tmp_path, corpus, other)
    save_model(tmp_path / "teacher")
    assert files(stored(tmp_path, corpus, tmp_path / "teacher").folder) == own


def test_a_store_of_another_version_or_corpus_is_refused(tmp_path, corpus):
    stored(tmp_path, corpus, save_model(tmp_path / "teacher"))
    corpora.rewrite(corpus.folder, lambda splits: splits["train"].reverse())
    with pytest.raises(BigfootError, match="logits has the logits of another corpus than .*: run `dvc repro teacher_logits`"):
        LogitsStore(tmp_path / "logits", open_corpus(corpus.folder))
    (tmp_path / "logits/index.json").write_text(json.dumps({"version": 0}))
    with pytest.raises(BigfootError, match="has version 0, not 4: run `dvc repro --force teacher_logits`"):
        LogitsStore(tmp_path / "logits", corpus)


def test_a_damaged_file_is_named_in_one_line(tmp_path, corpus):
    store = stored(tmp_path, corpus, save_model(tmp_path / "teacher"))
    last = corpus.utterances("unlabelled")[-1]
    path = tmp_path / "logits/00002.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BigfootError, match=r"00002.safetensors is damaged .*: run `dvc repro --force teacher_logits`"):
        store.logits(last)
    path.unlink()
    with pytest.raises(BigfootError, match=r"00002.safetensors is missing: run `dvc checkout`"):
        store.logits(last)


def flip(file: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_flipped_bit_stops_a_student_before_it_trains(tmp_path, corpus, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    teacher, logits = save_model(tmp_path / "teacher"), tmp_path / "logits"
    stored(tmp_path, corpus, teacher)
    flip(logits / "00001.safetensors")
    settings = Student.model_validate({"from": "teacher", "layers": 1, "training": {"steps": 1, "learning_rate": 1e-3}})
    books = Bookkeeping("half", Project(tmp_path), Tracking(experiment="none"))
    with pytest.raises(BigfootError, match=r"logits: the stored logits are damaged.*: run `dvc repro --force teacher_logits`"):
        student.make_student(settings, corpus, teacher, teacher, logits, tmp_path / "half", books)


def test_a_whole_store_is_read_once_and_again_when_a_file_has_changed(tmp_path, corpus, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store, path, read = stored(tmp_path, corpus, save_model(tmp_path / "teacher")), tmp_path / "logits/00002.safetensors", []
    monkeypatch.setattr(sums, "sha256_of", lambda files: read.append(len(files)) or sha256_of(files))
    store.check()
    store.check()
    assert read == [3]
    flip(path)
    with pytest.raises(BigfootError, match="logits: the stored logits are damaged"):
        store.check()
    path.unlink()
    with pytest.raises(BigfootError, match=r"logits: 00002.safetensors is missing, the stored logits are incomplete"):
        store.check()
    assert read == [3, 3]


class Rows:
    """The rows of a split of which nothing but their number and digest is there."""

    def __init__(self, count: int):
        self.count, self.info = count, {"digest": str(count)}

    def __len__(self) -> int:
        return self.count


class Huge:
    """As much of a corpus of ten million utterances as a store needs to know."""

    folder = None

    def utterances(self, split: str) -> Rows:
        return Rows(9_000_000 if split == "train" else 1_000_000)


def test_of_ten_million_utterances_a_store_holds_nothing_and_finds_each(tmp_path):
    index = Index(STORE_VERSION, 2, None, [1.0, 0.9], 512, digests(Huge()), "")
    write_index(tmp_path, index)
    place = 2 * 9_000_000 + 1_000_000 + 999_999  # the last one: after train at both speeds and unlabelled at the first
    arrays = {"logits": np.arange(1024, dtype=np.float16).reshape(512, 2), "bounds": np.arange(513, dtype=np.int32)}
    save_file(arrays, shard_path(tmp_path, place // 512))
    tracemalloc.start()
    store = LogitsStore(tmp_path, Huge())
    utterance = Utterance("last", "", "", 0.02, "", UNLABELLED, 999_999)
    played = AtSpeed(**asdict(utterance), original=utterance, speed=0.9)
    found, (held, _) = store.logits(played), tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.tolist() == [[2 * (place % 512), 2 * (place % 512) + 1]]
    assert held < 200_000, f"{held:,} bytes"
