"""A German and an Arabic corpus through the real stages, from a manifest to the report and MLflow."""

import json

import pytest
from ruamel.yaml import YAML

from pipeline.speech.corpus import open_corpus
from pipeline.stages import benchmark, compare, evaluate, prepare, quantize, student, teacher, teacher_logits
from tests.planted import ROOT
from tests.recordings import lines, sound
from tests.tiny import save_model

VARIANTS = ["teacher.fp32", "half.fp32-onnx"]
GERMAN = ["Um 8 Uhr: 12 Äpfel!", "Größe 3,5", "Übung macht den Meister", "1.200 Euro"]
ARABIC = ["مرحبًا بكم", "ثلاثة كتب", "نعم", "لا ٢٠"]
CONFIG = {
    "conv_dim": [16] * 7, "conv_kernel": [10, 3, 3, 3, 3, 2, 2], "conv_stride": [5, 2, 2, 2, 2, 2, 2], "hidden_size": 32,
    "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}  # fmt: skip


def run(folder, language: str, texts: list[str], objective: str, made_of: dict) -> None:
    """All stages, with tiny models that learn for a few steps on noise."""
    data = folder / "data/own"
    for first, (split, count) in enumerate((("train", 8), ("dev", 4), ("test", 4))):
        rows = []
        for number in range(count):
            sound(data / f"{split}{number}.wav", 1.5 + 0.1 * number, seed=100 * first + number)
            rows.append({"audio": f"{split}{number}.wav", "text": texts[number % len(texts)], "speaker": f"{split}{number}"})
        lines(data / f"{split}.jsonl", rows)
    yaml = YAML(typ="safe")
    chosen = yaml.load(ROOT / "profiles/quickstart.yaml")
    chosen["corpus"] |= {
        "name": "own", "data": "data/own", "language": language, "objective": objective, "source": {"kind": "folder"},
    }  # fmt: skip
    training = {"steps": 4, "batch_seconds": 6, "learning_rate": 1e-3, "evaluate_every": 2}
    chosen["teacher"] = made_of | {"training": training}
    chosen["students"] = {"half": {"from": "teacher", "layers": 1, "training": dict(training)}}
    split = [name.split(".") for name in VARIANTS]
    chosen["schemes"] = {scheme: {} for _, scheme in split}
    chosen["variants"] = {f"{model}-{scheme}": {"model": model, "scheme": scheme} for model, scheme in split}
    chosen["benchmark"] |= {
        "utterances": 2, "restarts": 2, "rounds": 2, "max_rounds": 2, "turn": 2, "batch": 2, "lengths": [1], "cold_starts": 0,
        "energy_seconds": 0,
    }  # fmt: skip
    yaml.dump(chosen, folder / "params.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        for stage in (prepare, teacher, teacher_logits):
            stage.main()
        student.main("half")
        for stage in (quantize, evaluate):
            for slug in chosen["variants"]:
                stage.main(slug)
        benchmark.main()
        compare.main()


@pytest.mark.accepts("Languages and text", "German, in the whole chain", "numbers in German, umlauts in the alphabet")
def test_a_german_corpus(tmp_path):
    run(tmp_path, "de", GERMAN, "wer", {"init": "config", "data": "data/none", "config": CONFIG})
    corpus = open_corpus(tmp_path / "corpora/own")
    texts = {utterance.text for utterance in corpus.utterances("test")}
    assert texts == {
        "um acht uhr zwölf äpfel",
        "größe drei komma fünf",
        "übung macht den meister",
        "eintausendzweihundert euro",
    }
    assert set("äöüß") <= set(corpus.info["alphabet"])
    info = json.loads((tmp_path / "variants/half.fp32-onnx/variant.json").read_text())
    assert set("äöüß") <= set(info["vocab"]) and info["language"] == "de"
    score = json.loads((tmp_path / "scores/half.fp32-onnx.json").read_text())
    assert {row["reference"] for row in score["sets"]["test"]["hypotheses"]} == texts
    assert "language: de" in (tmp_path / "reports/cards/half.md").read_text()


@pytest.mark.accepts("Languages and text", "Arabic, in the whole chain, decided by the CER", "a HuBERT teacher with a new head")
def test_an_arabic_corpus_with_a_hubert_teacher_decided_by_the_cer(tmp_path):
    save_model(tmp_path / "data/hubert", "layer", family="hubert")
    run(tmp_path, "ar", ARABIC, "cer", {"init": "pretrained", "data": "data/hubert"})
    corpus = open_corpus(tmp_path / "corpora/own")
    texts = {utterance.text for utterance in corpus.utterances("test")}
    assert "ثلاثة كتب" in texts and "لا عشرون" in texts
    assert json.loads((tmp_path / "models/half/config.json").read_text())["architectures"] == ["HubertForCTC"]
    assert "dev_cer" in json.loads((tmp_path / "models/teacher/metrics.json").read_text())
    rows = json.loads((tmp_path / "reports/comparison.json").read_text())
    assert [row["variant"] for row in rows] == VARIANTS and all(row["cer"] is not None for row in rows)
    assert "ثلاثة كتب" in (tmp_path / "reports/index.html").read_text()
    assert "language: ar" in (tmp_path / "reports/cards/teacher.md").read_text()
