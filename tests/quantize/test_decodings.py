"""A decoding is part of a variant: its language model is in the folder, its weights are chosen on dev, and all else uses it."""

import gzip
import json
import shutil
from pathlib import Path

import pytest

from pipeline import params
from pipeline.benchmark import processes
from pipeline.benchmark.run import benchmark
from pipeline.common.errors import BigfootError
from pipeline.evaluate.run import evaluate
from pipeline.project import load_params
from pipeline.quantize import decodings, schemes
from pipeline.quantize.run import quantize
from pipeline.recognition import decoding, language_model, seal
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech import audio
from pipeline.speech.corpus import open_corpus
from pipeline.speech.scoring import count_errors
from pipeline.speech.shards import Utterance
from tests import corpora
from tests.planted import ROOT
from tests.tiny import save_model, speech

needs_library = pytest.mark.skipif(not decoding.is_installed(), reason="needs the extra lm: make lm")
SCHEME = "fp32-onnx+lm"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """models/teacher, its variants in fp32-onnx and fp32, and a corpus whose references are the first one's texts."""
    place = tmp_path_factory.mktemp("decodings")
    model = save_model(place / "teacher", hidden=64)
    for scheme in ("fp32-onnx", "fp32"):
        quantize(scheme, {}, model, None, place / f"teacher.{scheme}")
    recognizer = Recognizer.load(place / "teacher.fp32-onnx")
    splits = {}
    for number, split in enumerate(("train", "dev", "gate", "test")):
        flacs = [audio.flac(speech(0.7 + 0.1 * i, seed=10 * number + i)) for i in range(5)]
        texts = [recognizer.transcribe(audio.read(flac)) for flac in flacs]
        splits[split] = [(Utterance(f"{split}{i}", texts[i], "", 0.7 + 0.1 * i), flacs[i]) for i in range(5)]
    corpora.write(place / "corpus", splits)
    return place


@pytest.fixture(scope="module")
def made(place) -> Path:
    out = place / f"teacher.{SCHEME}"
    quantize(SCHEME, {"lm": {"order": 2}}, place / "teacher", open_corpus(place / "corpus"), out)
    return out


@needs_library
def test_the_variant_holds_the_same_weights_and_its_decoding(place, made):
    info = seal.read(made)
    assert {file.name for file in made.iterdir()} == {"model.onnx", "lm.arpa.gz", "variant.json"}
    assert (made / "model.onnx").read_bytes() == (place / "teacher.fp32-onnx/model.onnx").read_bytes()
    assert (info["variant"], info["scheme"]) == (f"teacher.{SCHEME}", SCHEME)
    chosen = info["decoding"]
    assert chosen["alpha"] in decodings.ALPHAS and chosen["beta"] in decodings.BETAS and chosen["beam"] in decodings.BEAMS
    assert chosen["dev"]["greedy"] == 0 and chosen["dev"]["utterances"] == 5 and chosen["settings"]["order"] == 2


@needs_library
def test_the_language_model_is_of_train_alone_and_gate_and_test_choose_nothing(place, made, tmp_path):
    train = {word for u in open_corpus(place / "corpus").utterances("train") for word in u.text.split()}
    assert set(language_model.words(made / "lm.arpa.gz")) == train
    shutil.copytree(place / "corpus", tmp_path / "corpus")

    def spoil(splits):
        for split in ("gate", "test"):
            splits[split] = [(Utterance(u.id, "other words", "", u.duration), flac) for u, flac in splits[split]]

    corpora.rewrite(tmp_path / "corpus", spoil)
    again = quantize(
        SCHEME, {"lm": {"order": 2}}, place / "teacher", open_corpus(tmp_path / "corpus"), tmp_path / f"teacher.{SCHEME}"
    )
    assert again["decoding"] == seal.read_info(made)["decoding"]


@needs_library
def test_the_chosen_weights_make_no_more_errors_on_dev_than_any_others(place, made):
    corpus, info = open_corpus(place / "corpus"), seal.read_info(made)
    recognizer = Recognizer.load(made)
    texts = [(u.text, recognizer.logits(corpus.audio(u))) for u in corpus.utterances("dev")]

    def errors(**settings) -> int:
        decoder = decoding.BeamDecoder(info | {"decoding": info["decoding"] | settings}, made)
        return sum(count_errors(text, decoder.text(logits)).errors for text, logits in texts)

    assert errors() == info["decoding"]["dev"]["beam search"] <= min(errors(alpha=0.1, beta=0.0), errors(alpha=1.5, beta=4.0))


@needs_library
def test_what_evaluate_scores_and_benchmark_times_is_the_beam_search(place, made, tmp_path, monkeypatch):
    corpus, recognizer = open_corpus(place / "corpus"), Recognizer.load(made)
    scored = evaluate(params.Evaluate(bootstrap=100), made, corpus, tmp_path / "score.json", tmp_path / "scratch")
    texts = [row.hypothesis for row in scored.sets["test"].hypotheses]
    assert (scored.variant, scored.scheme) == (f"teacher.{SCHEME}", SCHEME)
    assert texts == [recognizer.transcribe(corpus.audio(u)) for u in corpus.utterances("test")]
    greedy = Recognizer.load(place / "teacher.fp32-onnx")
    assert texts != [greedy.transcribe(corpus.audio(u)) for u in corpus.utterances("test")]
    monkeypatch.setattr(processes, "HOST_LOCK", tmp_path / "lock")  # nothing here is a figure that others could disturb
    brief = params.Benchmark(
        threads=1,
        utterances=2,
        restarts=2,
        rounds=2,
        max_rounds=2,
        turn=1,
        batch=2,
        lengths=[],
        cold_starts=0,
        energy_seconds=0,
    )
    timed = benchmark(brief, [place / "teacher.fp32", made], corpus, tmp_path / "timings.json").variants[made.name]
    assert timed.disk_mb == pytest.approx(sum(file.stat().st_size for file in made.iterdir()) / 1e6)


@needs_library
def test_a_changed_language_model_is_found(made, tmp_path):
    shutil.copytree(made, tmp_path / "copy")
    file = tmp_path / "copy/lm.arpa.gz"
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()).replace(b"ngram 1=", b"ngram 1=1")))
    with pytest.raises(BigfootError, match="lm.arpa.gz"):
        Recognizer.load(tmp_path / "copy")


def test_without_the_library_the_variant_is_refused_in_one_line(place, tmp_path, monkeypatch):
    """One that was made where it is installed, opened where it isn't."""
    shutil.copytree(place / "teacher.fp32-onnx", tmp_path / "a")
    info = json.loads((tmp_path / "a/variant.json").read_text())
    info = {key: value for key, value in info.items() if key not in ("sha256", "files", "version")}
    info["decoding"] = {"file": "lm.arpa", "alpha": 0.5, "beta": 0.0, "beam": 8}
    (tmp_path / "a/variant.json").write_text(json.dumps(info))
    (tmp_path / "a/lm.arpa").write_text("\\data\\\nngram 1=1\n\n\\1-grams:\n-1\ta\n\n\\end\\\n")
    monkeypatch.setattr(decoding, "find_spec", lambda name: None)
    with pytest.raises(BigfootError, match="`make lm` installs the extra `lm`"):
        Recognizer.load(tmp_path / "a")
    with pytest.raises(BigfootError, match="`make lm` installs the extra `lm`"):
        schemes.require_packages(SCHEME, {"lm": {}})


@pytest.mark.parametrize(
    ("decoded", "complaint"),
    [
        ({"file": "lm.arpa", "alpha": 0.5, "beta": 0.0, "beam": 0}, "decoding has a beam or a weight beyond"),
        ({"file": "lm.arpa", "alpha": 0.5, "beta": -1.0, "beam": 8}, "decoding has a beam or a weight beyond"),
        ({"file": "lm.arpa", "alpha": 0.5, "beta": 0.0, "beam": 10**6}, "decoding has a beam or a weight beyond"),
        ({"file": "../lm.arpa", "alpha": 0.5, "beta": 0.0, "beam": 8}, "not in its folder"),
        ({"file": "lm.arpa", "alpha": "0.5", "beta": 0.0, "beam": 8}, "decoding.alpha is a string where a number belongs"),
        ({"file": "lm.arpa", "alpha": 0.5, "beta": 0.0}, "decoding has no beam"),
    ],
)
def test_a_broken_decoding_is_one_line(place, tmp_path, decoded, complaint):
    shutil.copytree(place / "teacher.fp32-onnx", tmp_path / "a")
    info = json.loads((tmp_path / "a/variant.json").read_text())
    info = {key: value for key, value in info.items() if key not in ("sha256", "files", "version")}
    (tmp_path / "a/variant.json").write_text(json.dumps(info | {"decoding": decoded}))
    with pytest.raises(BigfootError, match=complaint):
        Recognizer.load(tmp_path / "a")


# ---------------------------------------------------------------- params


@pytest.mark.parametrize(
    ("scheme", "settings", "complaint"),
    [
        ("int8-onnx+lm", {}, r"has a \+ in its name and the setting lm: write both"),
        ("int8-onnx", {"lm": {}}, r"has a \+ in its name and the setting lm: write both"),
        ("int8-onnx+", {"lm": {}}, "only small letters, digits and dashes"),
        ("int8-onnx+LM", {"lm": {}}, "only small letters, digits and dashes"),
        ("peer-sherpa-onnx+lm", {"lm": {}}, "a peer decodes greedily, as the other tool does"),
        ("int8-onx+lm", {"lm": {}}, r"schemes.int8-onx\+lm: there is no such scheme"),
        ("int8-onnx+lm", {"lm": {"orde": 3}}, r"schemes.int8-onnx\+lm.lm.orde: .*settings of lm: file, sha256, order"),
        ("int8-onnx+lm", {"lm": {"order": 7}}, r"schemes.int8-onnx\+lm.lm.order: "),
        ("int8-onnx+lm", {"lm": {"file": "a.arpa"}}, "file and sha256 belong together"),
        (
            "int8-onnx+lm",
            {"lm": {"file": "a.arpa", "sha256": "0" * 64, "order": 2}},
            "order and least_count are for an n-gram of",
        ),
        ("int8-onnx+lm", {"lm": 3}, r"schemes.int8-onnx\+lm.lm: "),
    ],
)
def test_a_mistake_in_params_is_one_line_that_names_the_key(scheme, settings, complaint):
    with pytest.raises(BigfootError, match=complaint):
        schemes.make(scheme, settings)


def test_a_scheme_with_a_decoding_takes_the_settings_of_the_scheme():
    made = schemes.make("int8-openvino+lm", {"calibration_utterances": 16, "lm": {}})
    assert made == schemes.make("int8-openvino", {"calibration_utterances": 16})
    renamed = schemes.make("small+lm4", {"like": "int8-openvino", "calibration_utterances": 16, "lm": {"order": 4}})
    assert renamed == made


def test_check_looks_at_a_language_model_of_the_users_own(tmp_path):
    lm = f"{{lm: {{file: none.arpa, sha256: {64 * 'a'}}}}}"
    text = (ROOT / "profiles/quickstart.yaml").read_text().replace("\nschemes:", f"\nschemes:\n  int8-onnx+lm: {lm}")
    text = text.replace("\nvariants:", "\nvariants:\n  thin-int8-onnx-lm: {model: thin, scheme: int8-onnx+lm}\n  #")
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(BigfootError, match="lm.file: none.arpa is missing: put it there, or correct the path"):
        schemes.check(load_params(tmp_path / "params.yaml"), dict)


def test_a_variants_slug_has_no_plus():
    variant = params.Variant(model="thin", scheme="int8-onnx+lm")
    assert (variant.name, variant.slug) == ("thin.int8-onnx+lm", "thin-int8-onnx-lm")


# ---------------------------------------------------------------- a file of the user's


@needs_library
def test_a_users_file_is_taken_if_it_is_the_one_that_was_named(place, made, tmp_path):
    shutil.copy(made / "lm.arpa.gz", tmp_path / "my.arpa.gz")
    corpus, settings = open_corpus(place / "corpus"), {"file": str(tmp_path / "my.arpa.gz"), "sha256": "0" * 64}
    out = tmp_path / f"teacher.{SCHEME}"
    with pytest.raises(BigfootError, match="is another file than lm.sha256 says: set it to ([0-9a-f]{64})") as raised:
        quantize(SCHEME, {"lm": settings}, place / "teacher", corpus, out)
    assert not out.exists()
    settings["sha256"] = str(raised.value).partition("set it to ")[2][:64]
    info = quantize(SCHEME, {"lm": settings}, place / "teacher", corpus, out)
    assert info["decoding"]["file"] == "lm.arpa.gz"
    assert {key: info["decoding"][key] for key in ("alpha", "beta", "beam")} == {
        key: seal.read_info(made)["decoding"][key] for key in ("alpha", "beta", "beam")
    }
    with pytest.raises(BigfootError, match="nowhere.arpa is missing"):
        quantize(SCHEME, {"lm": settings | {"file": "nowhere.arpa"}}, place / "teacher", corpus, out)


def test_bigfoot_lm_says_what_it_made(place, tmp_path):
    corpus = open_corpus(place / "corpus")
    said = decodings.made(tmp_path / "a.arpa", corpus, None, 2, 1)
    assert "perplexity" in said and "of its words unknown" in said and f"file: {tmp_path}/a.arpa, sha256: " in said
    (tmp_path / "text.txt").write_text("Hello, World!\n\nhello 2 you\n")
    decodings.made(tmp_path / "b.arpa.gz", corpus, tmp_path / "text.txt", 3, 1)
    assert set(language_model.words(tmp_path / "b.arpa.gz")) >= {"hello", "world", "you"}, "written by the corpus's rules"
    for out, text, complaint in (
        ("a.bin", None, "has to end in .arpa or .arpa.gz"),
        ("c.arpa", tmp_path / "none.txt", "none.txt is missing"),
    ):
        with pytest.raises(BigfootError, match=complaint):
            decodings.made(tmp_path / out, corpus, text, 3, 1)
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(BigfootError, match="has no words"):
        decodings.made(tmp_path / "c.arpa", corpus, tmp_path / "empty.txt", 3, 1)
