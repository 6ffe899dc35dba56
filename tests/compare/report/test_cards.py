"""A card says what the comparison found, in the hub's own format, and what a person has to know beside it."""

import json
import re
import subprocess
import sys

import pytest
from huggingface_hub import ModelCard

from pipeline.apps import push
from pipeline.common.energy import co2_g
from pipeline.common.errors import BigfootError
from pipeline.compare.run import compare
from pipeline.quantize.run import quantize
from pipeline.speech import audio
from tests import tiny
from tests.planted import FIGURES, plant

HALF = "half.int8-openvino"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A comparison with cards; half is compared in int8 alone."""
    folder = tmp_path_factory.mktemp("project")
    compare(plant(folder), folder, folder / "reports")
    return folder


def load(project, name):
    return ModelCard.load(project / "reports" / "cards" / f"{name}.md")


def test_every_model_and_every_variant_has_a_card(project):
    names = {path.name.removesuffix(".md") for path in (project / "reports" / "cards").iterdir()}
    assert names == {*FIGURES, "teacher", "half", "thin"}


@pytest.mark.parametrize("name", FIGURES)
def test_the_model_index_holds_the_figures_of_the_comparison(project, name):
    rows = json.loads((project / "reports" / "comparison.json").read_text())
    row = next(row for row in rows if row["variant"] == name)
    found = {(one.dataset_split, one.metric_type): one.metric_value for one in load(project, name).data.eval_results}
    prefixes = {"dev": "dev_", "gate": "gate_", "test": ""}
    assert found == {(split, rate): row[prefixes[split] + rate] for split in prefixes for rate in ("wer", "cer")}
    assert found["test", "wer"] == FIGURES[name][0] / 2000  # as planted


def test_the_front_matter_says_what_the_hub_filters_by(project):
    model, variant = load(project, "teacher").data, load(project, HALF).data
    assert (model.library_name, variant.library_name) == ("transformers", "openvino")
    for one in (model, variant):
        assert one.pipeline_tag == "automatic-speech-recognition" and one.language == "en"
        assert {"automatic-speech-recognition", "wav2vec2", "ctc", "synthetic"} <= set(one.tags)
        assert one.eval_results[0].dataset_name == "quickstart (SYNTHETIC)"
    assert {"int8-openvino", "openvino"} <= set(variant.tags)
    assert model.base_model is None and model.license == "unknown"  # neither is known, and neither is made up
    emissions = variant.to_dict()["co2_eq_emissions"]
    assert emissions["emissions"] == pytest.approx(co2_g(4.0, "DEU")) and emissions["training_type"] == "fine-tuning"
    assert model.to_dict()["co2_eq_emissions"]["training_type"] == "pre-training"


def test_emissions_and_figures_that_were_not_measured_are_left_out(tmp_path):
    params = plant(tmp_path)
    for name in ("teacher", "half", "thin"):
        path = tmp_path / "models" / name / "metrics.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "train_energy_wh": None}))
    compare(params, tmp_path, tmp_path / "reports")
    card = load(tmp_path, HALF)
    assert "co2_eq_emissions" not in card.data.to_dict() and "Training of this model: not measured." in card.text
    half = load(tmp_path, "half")
    assert half.data.eval_results is None and "only in other schemes" in half.text


def test_the_text_says_how_it_was_made_what_it_rests_on_and_its_limits(project):
    card_text = re.sub(" +", " ", load(project, "thin.int8-openvino").text)
    for fact in (
        "SYNTHETIC speech, spoken by no person", "a config, untrained -> teacher -> half -> thin -> int8-openvino",
        "conv_channels: 48", "with the profile quickstart", "CC0-1.0", "a planted CPU", "| speakers |",
        "11.00 [8.80, 13.20]", "| Size on disk, MB | 0.50 | 8.00 |", "10.0x [9.0x, 11.0x]",
        "Closed vocabulary: the test set has 1 distinct words", "Known speakers", "more than the 1.00 allowed",
        "(teacher, half): 12 Wh",
        "pip install numpy soundfile openvino\npython example.py speech.wav",
        "bigfoot transcribe . speech.wav",
    ):  # fmt: skip
        assert fact in card_text, f"the card does not say {fact}"


def test_a_card_is_outside_of_the_models_folder_until_it_is_exported(project, tmp_path):
    before = sorted((project / "variants" / HALF).iterdir())
    out = push.export(project, HALF, tmp_path / "out")
    assert sorted((project / "variants" / HALF).iterdir()) == before
    assert {path.name for path in out.iterdir()} == {"README.md", "variant.json", "weights.bin"}
    assert (out / "README.md").read_text() == (project / "reports" / "cards" / f"{HALF}.md").read_text()
    push.export(project, HALF, out, force=True, license="apache-2.0")
    card = ModelCard.load(out / "README.md")
    assert card.data.license == "apache-2.0" and "here it is `apache-2.0`" in card.text
    assert card.data.eval_results == load(project, HALF).data.eval_results


def test_an_export_overwrites_nothing_unasked_and_knows_what_there_is(project, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(BigfootError, match="is not empty: .*--force"):
        push.export(project, "half", tmp_path)
    push.export(project, "half", tmp_path, force=True)
    assert (tmp_path / "mine.txt").read_text() == "mine" and (tmp_path / "metrics.json").is_file()
    for name in ("thick", "..", "half/.."):
        with pytest.raises(BigfootError, match=f"no model or variant {re.escape(name)}: known are half, teacher, thin, half."):
            push.export(project, name, tmp_path / "out")


@pytest.mark.slow
def test_the_models_usage_example_runs_as_written(tmp_path):
    from safetensors.torch import load_file, save_file

    params = plant(tmp_path)
    weights = tiny.save_model(tmp_path / "models" / "teacher") / "model.safetensors"
    tensors = load_file(weights)
    tensors["lm_head.bias"][1:4] = -1e4  # a trained model never says <s>, </s> or <unk>, which transformers decodes otherwise
    save_file(tensors, weights, metadata={"format": "pt"})
    compare(params, tmp_path, tmp_path / "reports")
    out = push.export(tmp_path, "teacher", tmp_path / "out")
    audio.write(out / "speech.wav", tiny.speech(1.5))
    program = re.search(r"```python\n(.*?)```", (out / "README.md").read_text(), re.DOTALL)[1]
    done = subprocess.run([sys.executable, "-c", program], cwd=out, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    from pipeline.recognition.recognizer import Recognizer

    quantize("fp32", {}, tmp_path / "models" / "teacher", None, tmp_path / "variant")
    transcript = Recognizer.load(tmp_path / "variant").transcribe(audio.read(out / "speech.wav"))
    assert done.stdout.strip() == transcript.strip()


@pytest.mark.parametrize(
    ("kl_weight", "opening", "chain"),
    [
        (0.0, "A small model, trained from new weights on the labels alone", "new weights -> half -> int8-openvino"),
        (
            1.0,
            "A student, distilled from the teacher into new weights",
            "a config, untrained -> teacher -> half -> int8-openvino",
        ),
    ],
)
def test_a_model_that_began_with_new_weights_is_not_called_shrunk(tmp_path, kl_weight, opening, chain):
    settings = plant(tmp_path)
    distillation = settings.students["half"].distillation.model_copy(update={"kl_weight": kl_weight})
    settings.students["half"] = settings.students["half"].model_copy(update={"init": "scratch", "distillation": distillation})
    compare(settings, tmp_path, tmp_path / "reports")
    card = load(tmp_path, HALF)
    assert opening in card.text and chain in card.text and "shrunk" not in card.text
    assert card.data.to_dict()["co2_eq_emissions"]["training_type"] == "pre-training"
    below = load(tmp_path, "thin")
    assert f"A student, shrunk from {'the teacher' if kl_weight else 'half'}: a wav2vec 2.0" in below.text


@pytest.mark.parametrize("init", ["parent", "scratch"])
def test_only_what_comes_from_a_pretrained_model_derives_from_it(tmp_path, init):
    settings = plant(tmp_path)
    teacher = settings.teacher.model_copy(update={"init": "pretrained", "name": "facebook/base"})
    settings = settings.model_copy(update={"teacher": teacher})
    alone = settings.students["half"].distillation.model_copy(update={"kl_weight": 0.0})
    settings.students["half"] = settings.students["half"].model_copy(update={"init": init, "distillation": alone})
    compare(settings, tmp_path, tmp_path / "reports")
    card = load(tmp_path, HALF)
    assert ("derives from facebook/base" in card.text) == (card.data.base_model == "facebook/base") == (init == "parent")
