"""Models as they lie on the hub: taken in with the right tensors and tokens, or refused in one line that names the cause."""

import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.common.errors import BigfootError
from pipeline.models import folder
from pipeline.models.checkpoint import Checkpoint
from pipeline.params import Teacher
from pipeline.quantize.run import quantize
from pipeline.recognition.recognizer import Recognizer
from pipeline.train import teacher
from tests.tiny import FAMILIES, TEXTS, VOCAB, save_model, speech

ALPHABET = [" ", "a", "b", "c"]


def settings(alphabet: str, changes: dict) -> Teacher:
    training = {"steps": 1, "learning_rate": 1e-3}
    return Teacher.model_validate(
        {"init": "pretrained", "data": "data/none", "alphabet": alphabet, "training": training} | changes
    )


def take_in(source: Path, alphabet: str = "model", texts: list[str] = ALPHABET, **changes):
    return teacher.build(settings(alphabet, changes), source, texts, seed=1)


def check(source: Path, alphabet: str = "model", **changes) -> str:
    return teacher.check(settings(alphabet, changes), source)


def logits_of(model) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(torch.from_numpy(speech(1.0))[None]).logits[0]


def edit(file: Path, **changes) -> None:
    """Change keys of a JSON file; None removes one."""
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def change_weights(source: Path, change) -> None:
    tensors = load_file(source / "model.safetensors")
    change(tensors)
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})


@pytest.fixture
def source(tmp_path):
    return save_model(tmp_path / "hub", "layer")


@pytest.fixture
def expected(source):
    return logits_of(folder.load_model(source)[0])


@pytest.mark.accepts(
    "Models",
    "a processor with a language model (`Wav2Vec2ProcessorWithLM`)",
    "taken without its language model; a line says how to use that",
)
def test_a_processor_with_a_language_model_is_taken_without_it(source, expected):
    edit(source / "processor_config.json", processor_class="Wav2Vec2ProcessorWithLM")
    edit(source / "tokenizer_config.json", processor_class="Wav2Vec2ProcessorWithLM")
    (source / "language_model").mkdir()
    (source / "alphabet.json").write_text("{}")
    checkpoint = Checkpoint(str(source), is_folder=True)
    assert checkpoint.language_model().endswith("has no .arpa, .arpa.gz or .bin (KenLM): it is left out")
    (source / "language_model" / "5gram.bin").write_bytes(b"words")
    (source / "language_model" / "attrs.json").write_text("{}")
    used = f"lm: {{file: {source}/language_model/5gram.bin, sha256: {hashlib.sha256(b'words').hexdigest()}}}"
    assert checkpoint.language_model() == f"the teacher brings a language model; a scheme uses it by {used}"
    model, processor = take_in(source)
    assert torch.equal(logits_of(model), expected) and type(processor).__name__ == "Wav2Vec2Processor"
    (source / "alphabet.json").unlink()
    assert Checkpoint(str(source), is_folder=True).language_model() == ""


@pytest.mark.accepts(
    "Models", "classes of its own (`auto_map`)", "their code is never run; the tokenizer's and the extractor's files are read"
)
def test_a_custom_processor_class_runs_no_code_and_asks_nothing(source, expected):
    for name in ("processor_config.json", "tokenizer_config.json", "config.json"):
        edit(source / name, auto_map={"AutoProcessor": "evil.Processor", "AutoModelForCTC": "evil.Model"})
    (source / "evil.py").write_text("raise SystemExit('ran')")
    assert torch.equal(logits_of(take_in(source)[0]), expected)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("added_tokens_decoder", -1), ("added_tokens_decoder", {"a": "b"}), ("pad_token", ["x"]),
        ("word_delimiter_token", ["x"]), ("additional_special_tokens", True), ("additional_special_tokens", [[1]]),
    ],
)  # fmt: skip
def test_a_tokenizer_with_a_value_of_an_odd_kind_is_one_line(source, key, value):
    edit(source / "tokenizer_config.json", **{key: value})
    with pytest.raises(BigfootError, match=r"tokenizer_config.json, .* has a value of a wrong type: fetch"):
        Checkpoint(str(source), is_folder=True).vocabulary(None)


def test_a_span_of_specaugment_that_is_wider_than_the_model_is_one_line(source):
    edit(source / "config.json", mask_feature_prob=0.1, mask_feature_length=64)
    with pytest.raises(BigfootError, match="mask_feature_length is 64: it has to be from 1 to the model's hidden_size, 32"):
        Checkpoint(str(source), is_folder=True).check(True, None, {})


@pytest.mark.accepts("Models", "`pytorch_model.bin` alone", "tensors only, with `weights_only`")
def test_a_pytorch_bin_alone_is_enough(source, expected):
    torch.save(load_file(source / "model.safetensors"), source / "pytorch_model.bin")
    (source / "model.safetensors").unlink()
    assert torch.equal(logits_of(take_in(source)[0]), expected)


@pytest.mark.refuses("Models", "a pickle with code in it", "the code is not run")
def test_a_pickle_with_code_is_refused_and_not_run(source, tmp_path):
    class Payload:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    (source / "model.safetensors").unlink()
    (source / "pytorch_model.bin").write_bytes(pickle.dumps({"lm_head.weight": Payload()}))
    with pytest.raises(BigfootError) as raised:
        take_in(source)
    assert not (tmp_path / "ran").exists() and "\n" not in str(raised.value) and "can't be loaded" in str(raised.value)


@pytest.mark.accepts("Models", "no `preprocessor_config.json`", "16 kHz, normalized; a line says so")
def test_without_a_preprocessor_config_audio_is_normalized_and_a_line_says_so(source, expected, caplog):
    (source / "processor_config.json").unlink()
    model, processor = take_in(source)
    assert torch.equal(logits_of(model), expected) and processor.feature_extractor.do_normalize
    assert "has no preprocessor_config.json: its audio is taken as 16 kHz, normalized" in caplog.text


def test_what_the_extractor_says_of_normalization_is_kept(source):
    edit(source / "processor_config.json", feature_extractor={"do_normalize": False, "sampling_rate": 16_000})
    assert take_in(source)[1].feature_extractor.do_normalize is False


@pytest.mark.refuses("Models", "a model for 8 kHz", "Bigfoot prepares audio at 16 kHz")
def test_a_model_of_8_khz_is_refused(source):
    edit(source / "processor_config.json", feature_extractor={"sampling_rate": 8_000})
    with pytest.raises(BigfootError, match="takes audio of 8,000 Hz: Bigfoot shrinks models of 16,000 Hz only"):
        take_in(source)


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("processor_config.json", {"feature_extractor": {"sampling_rate": "16000"}}, 'sampling_rate "16000" and do_norm'),
        (
            "processor_config.json",
            {"feature_extractor": {"do_normalize": "no"}},
            'do_normalize "no": they have to be an integer',
        ),
        ("processor_config.json", {"feature_extractor": {"sampling_rate": True}}, "sampling_rate true"),
        ("config.json", {"vocab_size": "32"}, 'vocab_size in config.json is "32": it has to be an integer'),
        ("config.json", {"pad_token_id": "0"}, 'pad_token_id in config.json is "0": it has to be an integer'),
    ],
)
@pytest.mark.refuses("Models", 'a setting of the wrong kind (`sampling_rate: "16000"`)', "key and value are said")
def test_a_setting_of_the_wrong_kind_is_named(source, file, changes, message):
    edit(source / file, **changes)
    with pytest.raises(BigfootError, match=message):
        take_in(source)


def test_a_vocab_size_that_is_null_is_named(source):
    content = json.loads((source / "config.json").read_text()) | {"vocab_size": None}
    (source / "config.json").write_text(json.dumps(content))
    with pytest.raises(BigfootError, match="vocab_size in config.json is null"):
        take_in(source)


@pytest.mark.accepts("Models", "weights in half precision", "become float32")
def test_weights_in_half_precision_become_float32(source):
    change_weights(source, lambda tensors: tensors.update({name: t.half() for name, t in tensors.items()}))
    edit(source / "config.json", dtype="float16")
    assert {tensor.dtype for tensor in take_in(source)[0].state_dict().values()} == {torch.float32}


@pytest.mark.accepts("Models", "`do_lower_case`", "the capitals of its vocabulary write small letters")
def test_capitals_with_do_lower_case_write_small_letters(source):
    vocab = {name.upper() if len(name) == 1 else name: index for name, index in zip(VOCAB, range(len(VOCAB)), strict=True)}
    (source / "vocab.json").write_text(json.dumps(vocab))
    edit(source / "tokenizer_config.json", do_lower_case=True)
    _, processor = take_in(source)
    assert processor.tokenizer("a b").input_ids == [VOCAB.index(token) for token in ("a", "|", "b")]
    assert processor.tokenizer.decode(processor.tokenizer("abc").input_ids) == "abc"


@pytest.mark.refuses("Models", "training text that tokens of several characters can't spell", "the character is named")
def test_texts_that_tokens_of_several_characters_cant_spell_are_refused_before_training(source):
    (source / "vocab.json").write_text(json.dumps({"sch" if t == "s" else t: at for at, t in enumerate(VOCAB)}))
    take_in(source, texts=["ein schiff"])
    with pytest.raises(BigfootError, match="has no 's': change corpus.text .upper or lower case.., or set teacher.alphabet"):
        take_in(source, texts=["das schiff"])


@pytest.mark.accepts("Models", "a head with more outputs than tokens", "the spare ones write nothing")
def test_a_head_with_more_outputs_than_tokens_works_to_the_end(source, tmp_path):
    """Its unused outputs write nothing, in dev WER and in a variant alike."""
    change_weights(source, lambda t: t.update({k: torch.cat([t[k], t[k][:5] + 9]) for k in ("lm_head.weight", "lm_head.bias")}))
    edit(source / "config.json", vocab_size=len(VOCAB) + 5)
    model, processor = take_in(source)
    folder.save_model(model, processor, tmp_path / "teacher")
    quantize("fp32", {}, tmp_path / "teacher", None, tmp_path / "teacher.fp32")
    recognizer = Recognizer.load(tmp_path / "teacher.fp32")
    assert recognizer.info["vocab"] == [*TEXTS, *[""] * 5]
    assert set(recognizer.transcribe(speech(2.0))) <= set("".join(TEXTS))


def fold(source: Path) -> None:
    """Save the positional convolution of a folder without its weight norm."""
    model, _ = folder.load_model(source)
    name = f"{model.base_model_prefix}.encoder.pos_conv_embed.conv."

    def change(tensors):
        for part in ("original0", "original1"):
            del tensors[f"{name}parametrizations.weight.{part}"]
        tensors[f"{name}weight"] = model.base_model.encoder.pos_conv_embed.conv.weight.detach().clone()

    change_weights(source, change)


def spread(source: Path, name: str, save) -> None:
    """Save a folder's weights as two files with an index."""
    tensors = load_file(source / "model.safetensors")
    (source / "model.safetensors").unlink()
    stem, suffix = name.rsplit(".", 1)
    files = {key: f"{stem}-0000{at % 2 + 1}-of-00002.{suffix}" for at, key in enumerate(tensors)}
    for file in set(files.values()):
        save({key: tensors[key] for key in tensors if files[key] == file}, source / file)
    (source / f"{name}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))


@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "wavlm"])
@pytest.mark.accepts("Models", "a positional convolution saved without its weight norm", "the same logits")
def test_a_positional_convolution_saved_without_its_weight_norm_is_taken_exactly(family, tmp_path):
    source = save_model(tmp_path / "hub", "layer", family=family)
    expected = logits_of(folder.load_model(source)[0])
    fold(source)
    torch.testing.assert_close(logits_of(take_in(source)[0]), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("model.safetensors", lambda tensors, file: save_file(tensors, file, metadata={"format": "pt"})),
        ("pytorch_model.bin", torch.save),
    ],
)
@pytest.mark.accepts("Models", "weights in several files, safetensors or `pytorch_model.bin`", "read by their index")
def test_weights_in_several_files_are_read_where_the_convolution_is_folded_too(source, expected, name, save):
    fold(source)
    spread(source, name, save)
    torch.testing.assert_close(logits_of(take_in(source)[0]), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "index", ["[]", "null", "{}", '{"metadata": {}, "weight_map": []}', '{"metadata": {}, "weight_map": {"a": 1}}']
)
def test_an_index_of_weights_that_is_none_is_named(source, index):
    spread(source, "model.safetensors", lambda tensors, file: save_file(tensors, file, metadata={"format": "pt"}))
    (source / "model.safetensors.index.json").write_text(index)
    for read in (check, take_in):
        with pytest.raises(BigfootError, match=r"model\.safetensors\.index\.json.*: fetch the model again"):
            read(source)


def test_a_folded_convolution_in_half_precision_becomes_float32(source, expected):
    fold(source)
    change_weights(source, lambda tensors: tensors.update({name: t.half() for name, t in tensors.items()}))
    model, _ = take_in(source)
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}
    torch.testing.assert_close(logits_of(model), expected, atol=0.05, rtol=0)


LAYER = "wav2vec2.encoder.layers."
PROJECTION = "wav2vec2.feature_projection.projection.weight"
POSITIONS = "wav2vec2.encoder.pos_conv_embed.conv."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(f"{LAYER}1.feed_forward.output_dense.weight"), "output_dense.weight is missing"),
        (lambda t: t.update({f"{LAYER}7.layer_norm.bias": torch.zeros(32)}), "layers.7.layer_norm.bias has no place"),
        (lambda t: t.update({"lm_head.bias": torch.zeros(40)}), r"lm_head.bias has shape \[40\], config.json says \[32\]"),
        (lambda t: t.update({"lm_head.weight": torch.zeros(37, 32)}), r"lm_head.weight has shape \[37, 32\]"),
        (lambda t: t.update({PROJECTION: torch.zeros(32, 8)}), "projection.weight has shape"),
        (lambda t: (t.pop("lm_head.weight"), t.pop("lm_head.bias")), "no CTC head: set teacher.alphabet to corpus"),
    ],
)
@pytest.mark.refuses(
    "Models",
    "a tensor that is missing, has another shape, or has no place",
    "its name is said, by `bigfoot check` and when it is taken in; nothing is drawn in its place",
)
def test_a_tensor_that_doesnt_fit_stops_with_its_name(source, change, message, capfd):
    change_weights(source, change)
    for attempt in (take_in, check):
        with pytest.raises(BigfootError, match=message) as raised:
            attempt(source)
        assert "\n" not in str(raised.value)
    assert capfd.readouterr().err == ""


def test_a_folded_convolution_of_another_shape_stops_with_its_name(source):
    fold(source)
    change_weights(source, lambda t: t.update({f"{POSITIONS}weight": torch.zeros(32, 8, 4)}))
    with pytest.raises(
        BigfootError, match=r"pos_conv_embed.conv.weight has shape \[32, 8, 4\], config.json says \[32, 8, 16\]"
    ):
        check(source)


@pytest.mark.parametrize("kind", ["folded", "headless", "bin", "mms"])
def test_the_check_takes_what_is_taken_in_and_is_silent(source, request, kind, capfd):
    language = "deu" if kind == "mms" else None
    if kind == "folded":
        fold(source)
    elif kind == "headless":
        change_weights(source, lambda t: (t.pop("lm_head.weight"), t.pop("lm_head.bias")))
    elif kind == "bin":
        torch.save(load_file(source / "model.safetensors"), source / "pytorch_model.bin")
        (source / "model.safetensors").unlink()
    else:
        source = request.getfixturevalue("multilingual")
    capfd.readouterr()
    alphabet = "corpus" if kind == "headless" else "model"
    assert check(source, alphabet, target_lang=language) == ""
    take_in(source, alphabet, target_lang=language)
    assert capfd.readouterr().err == ""


def test_a_model_on_the_hub_is_said_not_to_be_checked(tmp_path):
    note = check(tmp_path, name="someone/wav2vec2")
    assert note == "the teacher someone/wav2vec2 is on the hub: the stage teacher looks at it when it runs, this check does not"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.refuses("Models", "weights that are NaN or infinite", "the tensor is named")
def test_a_tensor_with_values_that_are_not_finite_is_named(source, value):
    change_weights(source, lambda t: t["lm_head.bias"][3:4].fill_(value))
    with pytest.raises(BigfootError, match="lm_head.bias has values that are NaN or infinite"):
        take_in(source)
    assert take_in(source, "corpus")[0].lm_head.bias.isfinite().all()


@pytest.mark.accepts("Models", "what pretraining leaves beside a model (quantizer, projections)", "ignored")
def test_what_pretraining_leaves_behind_is_no_obstacle(source, expected):
    change_weights(
        source, lambda t: t.update({"quantizer.codevectors": torch.zeros(1, 2, 3), "project_q.bias": torch.zeros(3)})
    )
    change_weights(source, lambda t: t.pop("wav2vec2.masked_spec_embed"))
    assert torch.equal(logits_of(take_in(source)[0]), expected)


def test_a_new_head_is_drawn_from_the_seed_even_where_the_old_one_has_its_size(source):
    characters = [" ", *"abcdefghijklmnopqrstuvwxyzäöü"]
    old = load_file(source / "model.safetensors")["lm_head.weight"]
    first, again = (take_in(source, "corpus", characters)[0].lm_head.weight for _ in range(2))
    assert first.shape == old.shape and torch.equal(first, again) and not torch.equal(first, old)


@pytest.mark.refuses("Models", "a tokenizer and a `config.json` with different blanks", "both ids are said")
def test_blank_and_padding_id_that_differ_are_refused(source):
    edit(source / "config.json", pad_token_id=5)
    with pytest.raises(BigfootError, match="padding token '<pad>' has id 0, config.json's pad_token_id is 5"):
        take_in(source)


@pytest.fixture
def multilingual(tmp_path):
    """An MMS-like folder: the base with the adapter of English, and one of German with an own vocabulary and head."""
    source = save_model(tmp_path / "mms", "layer", adapter_attn_dim=4)
    german = ["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefghijklmnopqrstuvwxyzäöüß"]
    nested = {"eng": VOCAB, "deu": german}
    nested = {language: {token: index for index, token in enumerate(tokens)} for language, tokens in nested.items()}
    (source / "vocab.json").write_text(json.dumps(nested))
    edit(source / "tokenizer_config.json", target_lang="eng")
    model, _ = folder.load_model(source)
    torch.manual_seed(5)
    adapter = {name: torch.randn_like(tensor) for name, tensor in model._get_adapters().items() if "lm_head" not in name}
    adapter |= {"lm_head.weight": torch.randn(len(german), 32), "lm_head.bias": torch.randn(len(german))}
    save_file(adapter, source / "adapter.deu.safetensors", metadata={"format": "pt"})
    return source


@pytest.mark.accepts(
    "Models", "MMS with `teacher.target_lang`", "a plain model with the adapter, vocabulary and head of that language"
)
def test_mms_becomes_a_plain_model_of_one_language(multilingual, tmp_path):
    from transformers import Wav2Vec2ForCTC

    theirs = Wav2Vec2ForCTC.from_pretrained(multilingual, target_lang="deu", ignore_mismatched_sizes=True)
    model, processor = take_in(multilingual, target_lang="deu", texts=[" ", "ä", "ß"])
    assert torch.equal(logits_of(model), logits_of(theirs))
    folder.save_model(model, processor, tmp_path / "teacher")
    loaded, _ = folder.load_model(tmp_path / "teacher")
    assert torch.equal(logits_of(loaded), logits_of(theirs))
    quantize("int8-onnx", {}, tmp_path / "teacher", None, tmp_path / "v")
    assert Recognizer.load(tmp_path / "v").info["vocab"][-1] == "ß"


def test_a_student_of_mms_keeps_its_adapters(multilingual):
    from pipeline.distill.surgery import student
    from pipeline.params import Student

    model, _ = take_in(multilingual, target_lang="deu", texts=[" "])
    settings = {"from": "teacher", "training": None, "importance": "weights", "hidden": 16, "layers": 1}
    small, rows = student.build(model.eval(), Student.model_validate(settings))
    assert small.base_model.encoder.layers[0].adapter_layer.linear_1.weight.shape == (4, 16)
    assert all(row["from"] for row in rows)


@pytest.mark.refuses("Models", "MMS without `target_lang`, or with one that it lacks", "its languages are listed")
def test_mms_without_a_language_or_with_one_it_lacks_is_refused(multilingual):
    with pytest.raises(BigfootError, match="teacher.target_lang to one of the 2: deu, eng"):
        take_in(multilingual)
    with pytest.raises(BigfootError, match="has no adapter of language fra .adapter.fra.safetensors is missing"):
        take_in(multilingual, target_lang="fra")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.accepts("Models", "wav2vec 2.0, HuBERT, WavLM, data2vec-audio", "as teacher; students are of the same family")
def test_a_teacher_of_each_family_is_taken_in_whole(family, tmp_path):
    source = save_model(tmp_path / "hub", "layer", family=family)
    model, processor = take_in(source)
    folder.save_model(model, processor, tmp_path / "teacher")
    loaded, _ = folder.load_model(tmp_path / "teacher")
    np.testing.assert_array_equal(logits_of(loaded), logits_of(folder.load_model(source)[0]))
    new_head, _ = take_in(source, "corpus")
    assert new_head.config.vocab_size == len(ALPHABET) + 2 and type(new_head) is type(loaded)


@pytest.mark.parametrize(
    ("key", "value"), [("conv_stride", [5, 2, 2, 2, 2, 2, 0]), ("conv_dim", 3), ("dtype", "foo"), ("dtype", [])]
)
def test_a_config_that_no_model_can_have_is_one_line(tmp_path, key, value):
    model = save_model(tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(BigfootError, match="config.json") as caught:
        teacher.check(settings("model", {}), model)
    assert "\n" not in str(caught.value)
