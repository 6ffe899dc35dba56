"""What the teacher starts from: a config, or any wav2vec 2.0 folder with or without a head; else one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipeline.common.errors import BigfootError
from pipeline.params import Teacher
from pipeline.train import teacher
from tests import tones
from tests.tiny import VOCAB, save_model, speech

ALPHABET = [" ", "a", "b", "c"]
TRAINING = {"steps": 1, "learning_rate": 1e-3}
CONFIG = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "conv_dim": [16] * 7,
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4,
}  # fmt: skip


def settings(**changes) -> Teacher:
    return Teacher.model_validate({"init": "pretrained", "data": "data/none", "training": TRAINING, **changes})


def build(made: Teacher, alphabet: list[str], seed: int):
    return teacher.build(made, Path(made.data), alphabet, seed)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("model") / "base")


@pytest.mark.parametrize(("norm", "masked"), [("group", False), ("layer", True)])
def test_the_attention_mask_follows_the_kind_of_feature_encoder(norm, masked):
    made = settings(init="config", config={**CONFIG, "feat_extract_norm": norm})
    model, processor = build(made, ALPHABET, seed=1)
    assert processor.feature_extractor.return_attention_mask is masked
    assert model.config.vocab_size == len(processor.tokenizer) == len(ALPHABET) + 2  # blank and unknown
    assert model.config.ctc_loss_reduction == "mean" and model.config.ctc_zero_infinity


def test_a_config_of_a_model_that_is_not_run_is_refused_before_it_is_trained():
    with pytest.raises(BigfootError, match="teacher.config has add_adapter: true, which Bigfoot can't run"):
        build(settings(init="config", config={**CONFIG, "add_adapter": True}), ALPHABET, seed=1)


@pytest.mark.parametrize("norm", [{}, {"feat_extract_norm": "group"}])
def test_one_convolution_with_group_norm_is_refused(norm):
    with pytest.raises(BigfootError, match="teacher.config has group norm and one convolution"):
        build(settings(init="config", config={**CONFIG, "conv_dim": [8]} | norm), ALPHABET, seed=1)


def test_a_span_of_specaugment_that_is_wider_than_the_model_is_refused_before_it_is_trained():
    config = {**CONFIG, "mask_feature_prob": 0.1, "mask_feature_length": 1000}
    with pytest.raises(BigfootError, match="teacher.config: mask_feature_length is 1000: it has to be from 1 to"):
        build(settings(init="config", config=config), ALPHABET, seed=1)


def test_the_same_seed_makes_the_same_model():
    made = settings(init="config", config=CONFIG)
    first, same, other = (build(made, ALPHABET, seed)[0].lm_head.weight for seed in (1, 1, 2))
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_a_pretrained_model_gets_a_head_for_the_corpus_and_keeps_the_rest(pretrained):
    model, processor = build(settings(data=str(pretrained)), ALPHABET, seed=1)
    before, _ = build(settings(data=str(pretrained), alphabet="model"), ["a", " "], seed=1)
    assert model.config.vocab_size == len(ALPHABET) + 2 and before.config.vocab_size == len(VOCAB)
    kept = before.wav2vec2.state_dict()
    assert all(torch.equal(tensor, kept[name]) for name, tensor in model.wav2vec2.state_dict().items())
    assert processor.tokenizer.decode(processor.tokenizer("a b").input_ids) == "a b"


def test_a_model_without_a_ctc_head_is_fine_tuned_with_a_new_one(pretrained, tmp_path):
    from transformers import AutoProcessor, Wav2Vec2Model

    Wav2Vec2Model.from_pretrained(pretrained).save_pretrained(tmp_path)
    AutoProcessor.from_pretrained(pretrained).save_pretrained(tmp_path)
    model, _ = build(settings(data=str(tmp_path)), ALPHABET, seed=1)
    with torch.inference_mode():
        assert model(torch.from_numpy(speech(0.5))[None]).logits.shape[-1] == len(ALPHABET) + 2
    with pytest.raises(BigfootError, match="teacher.alphabet to corpus"):
        build(settings(data=str(tmp_path), alphabet="model"), ["a"], seed=1)


def test_config_keys_change_a_pretrained_model(pretrained):
    model, _ = build(settings(data=str(pretrained), config={"mask_time_prob": 0.3}), ALPHABET, seed=1)
    assert model.config.mask_time_prob == 0.3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": "data/nowhere"}, "data/nowhere .*config.json"),
        ({"alphabet": "model", "alphabet_of_corpus": ["A", "é"]}, "has no 'A' 'é': change corpus.text"),
        ({"init": "config", "config": {"hiden_size": 3}}, r"teacher\.config\.hiden_size"),
        ({"init": "config", "config": {**CONFIG, "num_attention_heads": 5}}, r"teacher\.config .*wav2vec 2.0"),
        ({"init": "config", "config": {**CONFIG, "hidden_act": "gelux"}}, r"teacher\.config .*wav2vec 2.0"),
        ({"init": "config", "config": {**CONFIG, "conv_dim": [16] * 6}}, r"teacher\.config .*wav2vec 2.0"),
        ({"config": {"mask_time_probb": 0.1}}, r"teacher\.config\.mask_time_probb"),
        ({"config": {"ctc_zero_infinity": False}}, r"teacher\.config\.ctc_zero_infinity"),
    ],
)
def test_an_impossible_teacher_is_an_error_of_one_line(pretrained, changes, message):
    changes = {"data": str(pretrained), **changes}
    alphabet = changes.pop("alphabet_of_corpus", ALPHABET)
    with pytest.raises(BigfootError, match=message) as raised:
        model, _ = build(settings(**changes), alphabet, seed=1)
        model(torch.from_numpy(speech(0.5))[None])
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hiden_size": 3}, r"teacher\.config\.hiden_size is not a key"),
        ({"feat_extract_norm": "batch"}, "feat_extract_norm"),
        ({"num_conv_pos_embedding_groups": 5}, "groups"),
        ({"num_conv_pos_embedding_groups": 0}, "groups"),
        ({"hidden_act": "gelux"}, "'gelux' is unknown"),
        ({"hidden_dropout": "much"}, "hidden_dropout"),
    ],
    ids=lambda case: next(iter(case)) if isinstance(case, dict) else "",
)
def test_a_config_that_describes_no_model_is_refused_before_anything_runs(changes, message):
    with pytest.raises(BigfootError, match=message):
        teacher.check(settings(init="config", config=CONFIG | changes), Path("data/none"))
    assert teacher.check(settings(init="config", config=CONFIG), Path("data/none")) == ""


def test_the_mark_of_a_word_gap_in_a_text_is_refused():
    with pytest.raises(BigfootError, match=r"texts of train have '\|', which is the model's word gap"):
        teacher._of_corpus(["a", "|"])


def test_a_vocabulary_of_letters_and_accents_apart_names_the_form():
    together, apart = (teacher._of_corpus(["a", "e", " ", *accents]) for accents in ([], ["\u0301"]))
    with pytest.raises(BigfootError, match="set corpus.text.form to NFC"):
        teacher.check_spelling(together, ["a", "e", "\u0301"], "it")
    teacher.check_spelling(apart, ["a", "e", "\u0301"], "it")
    with pytest.raises(BigfootError, match="has no 'é': set corpus.text.form to NFD"):
        teacher.check_spelling(apart, ["a", "é"], "it")


@pytest.mark.slow
def test_a_hub_that_cant_be_reached_exits_with_status_75():
    command = "from pathlib import Path\nfrom pipeline.common.command import stage_main\nfrom pipeline import params\n"
    command += "from pipeline.train import teacher\nstage_main(lambda: teacher.build("
    wanted = {"init": "pretrained", "name": "someone/wav2vec2", "data": "nowhere", "training": TRAINING}
    command += f"params.Teacher.model_validate({wanted!r}), Path(), ['a'], seed=1))"
    environment = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", command], env=environment, capture_output=True, text=True)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 75 and len(errors) == 1 and "someone/wav2vec2" in errors[0]


def test_a_model_of_another_architecture_is_named(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "whisper"}))
    with pytest.raises(BigfootError, match="'whisper' model"):
        build(settings(data=str(tmp_path)), ALPHABET, seed=1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b'{"model_'),
        ("model.safetensors", b"\x10\0\0\0\0\0\0\0{"),
        ("vocab.json", None),
        ("tokenizer_config.json", b"{"),
    ],
)
def test_a_damaged_folder_is_one_line(tmp_path, name, content):
    folder = save_model(tmp_path / "base")
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(BigfootError) as raised:
        build(settings(data=str(folder), alphabet="model"), ["a"], seed=1)
    assert str(folder) in str(raised.value) and "\n" not in str(raised.value)


def test_a_group_norm_model_gets_no_attention_mask_even_if_its_processor_was_saved_with_one(tmp_path):
    from transformers import AutoProcessor

    folder = save_model(tmp_path / "base", "group")
    processor = AutoProcessor.from_pretrained(folder)
    processor.feature_extractor.return_attention_mask = True
    processor.save_pretrained(folder)
    _, loaded = build(settings(data=str(folder), alphabet="model"), ["a"], seed=1)
    assert loaded.feature_extractor.return_attention_mask is False


def test_a_teacher_can_be_taken_as_it_is(tmp_path):
    """Zero-shot: its weights are not touched, and its dev WER is measured like that of any other."""
    from safetensors.torch import load_file

    untrained = {"init": "pretrained", "data": "data/base", "alphabet": "model", "finetune": False}
    folder = tones.project(tmp_path, steps=1, change=lambda chosen: chosen.update(teacher=untrained))
    save_model(folder / "data/base")
    tones.run(folder, "teacher")
    before = load_file(folder / "data/base/model.safetensors")
    assert all(torch.equal(tensor, before[name]) for name, tensor in tones.weights(folder).items())
    metrics = tones.metrics(folder)
    assert metrics["dev_wer"] > 0 and metrics["steps"] == 0 and metrics["train_hours"] is None
    of_words = metrics["dev_wer"]
    corpus = folder / "corpora" / "tones" / "train" / "split.json"
    corpus.write_text(json.dumps(json.loads(corpus.read_text()) | {"objective": "cer"}))
    tones.run(folder, "teacher")
    assert tones.metrics(folder)["dev_cer"] not in (0, of_words) and "dev_wer" not in tones.metrics(folder)
    tones.run(folder, "teacher_logits")
