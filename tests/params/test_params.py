"""Every mistake in params.yaml is one line that names the key; the profiles that ship are valid."""

import functools
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline import params
from pipeline.common.errors import BigfootError
from pipeline.project import load_params

ROOT = Path(__file__).parents[2]
QUICKSTART = (ROOT / "profiles/quickstart.yaml").read_text()
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"].values()
NAMED = {key for stage in STAGES for key in stage.get("do", stage).get("params", []) if "$" not in key}

ASKED = "confidence: 0.95, budget: {max_mb: 1, max_ms: 5, threads: %s}}"


def mistaken(tmp_path, old: str, new: str) -> str:
    """The error of `load_params` for the quickstart with `old` replaced by `new`."""
    assert old in QUICKSTART
    file = tmp_path / "params.yaml"
    file.write_text(QUICKSTART.replace(old, new, 1))
    with pytest.raises(BigfootError) as caught:
        load_params(file)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("profile", sorted(ROOT.glob("profiles/*.yaml")), ids=lambda p: p.stem)
def test_profiles_that_ship_are_valid(profile):
    assert load_params(profile).profile == profile.stem


@pytest.mark.parametrize("key", sorted(NAMED))
def test_what_dvc_watches_by_name_has_to_be_there(tmp_path, key):
    raw = YAML(typ="safe").load(QUICKSTART)
    *sections, last = key.split(".")
    del functools.reduce(dict.get, sections, raw)[last]
    file = tmp_path / "params.yaml"
    YAML().dump(raw, file)
    with pytest.raises(BigfootError, match=f"{key}: is missing"):
        load_params(file)


def test_params_as_committed_is_the_quickstart():
    assert (ROOT / "params.yaml").read_text() == QUICKSTART


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("learning_rate: 1.8e-3", "learning_rat: 1.8e-3", r"teacher\.training\.learning_rat"),
        ("learning_rate: 1.8e-3", "learning_rate: fast", r"teacher\.training\.learning_rate: .* not 'fast'"),
        ("kind: synthetic", "kind: sinthetic", r"corpus\.source"),
        (
            "{model: thin, scheme: int8-onnx}",
            "{model: thick, scheme: int8-onnx}",
            "unknown model 'thick', known: half, teacher, thin",
        ),
        ("{model: thin, scheme: int8-onnx}", "{model: thin, scheme: int3}", "unknown scheme 'int3', known: fp32, fp32-onnx"),
        ("thin-int8-onnx: {", "slim-int8-onnx: {", r"variants\.slim-int8-onnx: .* thin-int8-onnx"),
        ("    from: half\n", "    from: quarter\n", r"students\.thin: unknown parent 'quarter'"),
        ("    from: teacher\n", "    from: thin\n", "circle"),
        ("teacher-fp32: {model: teacher, scheme: fp32}", "", "teacher-fp32 is missing"),
        (
            "init: config",
            "init: config\n  name: facebook/wav2vec2-base",
            "name is of a pretrained model: set init to pretrained",
        ),
        ("init: config", "init: config\n  alphabet: model", "alphabet is of a pretrained model: set init to pretrained"),
        ("init: config", "init: pretrained\n  revision: main", "revision is a commit of the hub's model: name that model"),
        (
            "rounds: 10, max_rounds: 20",
            "rounds: 11, max_rounds: 11",
            "5 restarts of 3 rounds each are 15 rounds, and max_rounds is 11",
        ),
        ("int8-onnx: {}", "int8-onnx: {like: fp32}", r"schemes\.int8-onnx\.like: int8-onnx is a scheme itself"),
        ("do_stable_layer_norm: true", "do_stable_layer_norm: false", r"training\.grow: needs a pre-norm model"),
        (
            "kl_weight: 1.0, ctc_weight: 1.0",
            "kl_weight: 1.0, ctc_weight: 0, unlabelled: 0.5, pseudo_labels: 0.9",
            "pseudo_labels teach by CTC alone",
        ),
        ("{temperature", "{unlabelled: 0.5, temperature", r"half\.distillation\.unlabelled: corpus\.source has no unlabelled"),
        ("grow: [[0, 2], [700, 4]]", "grow: [[0, true], [9, 4]]", "true and false don't belong there"),
        ("init: config", "init: config\n  finetune: false", "finetune: false is UNTRAINED: leave its training section out"),
        ("  language: en\n", "", r"corpus\.language: is missing"),
        ("language: en", "language: english", r"corpus\.language: 'english' is not a BCP 47 tag"),
        ("language: en", "language: de", "the source synthetic speaks English, so language has to be en"),
        ("kind: synthetic", "words: [6, 2], kind: synthetic", r"corpus\.source\.words: the fewest come first: \[2, 6\]"),
        (
            "training: {steps: 300, batch_seconds: 10, learning_rate: 5.0e-4, evaluate_every: 150}",
            "",
            r"half\.training: is missing",
        ),
        ("kl_weight: 1.0, ctc_weight: 1.0", "kl_weight: 0, ctc_weight: 0", "nothing to learn from"),
        ("students:\n", "students:\n  Half: 1\n", "students"),
        (
            "{temperature",
            "{features: stored, temperature",
            r"half\.distillation\.features: stored needs logits\.features: true",
        ),
        ("{temperature", "{features: stored, teacher: online, temperature", r"half.*features: stored"),
        (
            "layers: 2\n    distillation: {",
            "conv_merge: [2, 2, 2, 1]\n    distillation: {features: stored, ",
            r"half.*features: stored.*conv_merge",
        ),
        (
            "layers: 2\n    distillation: {",
            "frame_rate: 25\n    distillation: {features: stored, ",
            r"half.*features: stored.*frame_rate",
        ),
        ("    layers: 2\n", "    frame_rate: 0\n", r"students\.half\.frame_rate: "),
        ("    layers: 2\n", "    frame_rate: 1.0e-300\n", r"students\.half\.frame_rate: "),
        ("confidence: 0.95", "confidence: 95", r"gate\.confidence"),
        ("training: {steps: 300,", "training: {steps: 300, augment: {speed: [0.9, 1.1]},", r"students\.half.*speed"),
        ("training: {steps: 300,", "training: {steps: 300, grow: [[0, 1], [9, 2]],", r"students\.half.*grow"),
        ("    layers: 2\n", "    quantize_aware: true\n    few_bits: {bits: 2}\n", r"students\.half: .*leave one out"),
        ("    layers: 2\n", "    few_bits: {bits: 1}\n", r"students\.half\.few_bits\.bits: "),
        ("evaluate: {", "evaluate: {noise_snr_db: [9, 9], ", r"evaluate\.noise_snr_db: "),
        ("grow: [[0, 2], [700, 4]]", "grow: [[5, 1], [9, 4]]", r"teacher\.training\.grow: needs rising"),
        ("grow: [[0, 2], [700, 4]]", "grow: [[0, 4], [9, 2]]", r"teacher\.training\.grow: needs rising"),
        (
            "grow: [[0, 2], [700, 4]]",
            "grow: [[0, 2], [5000, 4]]",
            r"training: grow: the last layers .* step 5000",
        ),
        ("speed: [0.85, 1.18]", "speed: [0, 1.18]", r"teacher\.training\.augment\.speed\.0: "),
        ("speed: [0.85, 1.18]", "speed: [1.18, 0.85]", r"teacher\.training\.augment\.speed: the lower end comes first"),
        ("digits: spell", "digits: spel", r"corpus\.text\.digits: "),
        ("train_utterances: 3200", "train_uterances: 3200", r"corpus\.source\.train_uterances: is not a parameter"),
        ("    layers: 2\n", "    layers: few\n", r"students\.half\.layers: "),
        ("    layers: 2\n", "    layers: 5\n", r"students\.half\.layers: 5, its parent has 4"),
        ("    layers: 2\n", "    layers: [0, 4]\n", r"students\.half\.layers: \[0, 4\], needs rising numbers from 0 to 3"),
        ("conv_channels: 48", "conv_channels: 65", r"students\.thin\.conv_channels: 65, its parent has 64"),
        ("    hidden: 128\n", "    hidden: 130\n", r"students\.thin: hidden 130 is not a multiple of heads 4"),
        (
            "    layers: 2\n",
            "    layers: 2\n    config: {vocab_size: 4}\n",
            r"half\.config: vocab_size is not a dropout",
        ),
        ("    from: teacher\n", "    frm: teacher\n", r"students\.half\.frm: is not a parameter of Bigfoot.* \(and 1 more\)"),
        ("country: DEU", "country: XXX", r"yaml: country: codecarbon .* 'XXX'"),
        ("rounds: 10, max", "rounds: 2, max", r"benchmark: 2 rounds of 6 .* 60"),
        ("corpus:\n", "corpus: [\n", "not valid YAML"),
        ("calibration_utterances: 64", "calibration_uterances: 64", r"schemes\.int8-openvino\.calibration_uterances"),
        ("  fp32-onnx: {}\n", "  fp32-onnx: {}\n  int3-onnx: {}\n", "schemes.int3-onnx: there is no such scheme"),
        ("  fp32-onnx: {}\n", "  fp32-onnx: {}\n  own: {like: int3-onnx}\n", r"schemes\.own\.like: there is no such scheme"),
        ("exports: {}", "exports: {thin.int8-onnx: [onnx, onnx]}", "list each layout once"),
        ("exports: {}", "exports: {thin-int8-onnx: [onnx]}", r"exports\.thin-int8-onnx: is no variant .* thin\.int8-onnx"),
        (
            "exports: {}",
            "exports: {thin.int8-onnx: [onyx]}",
            r"exports\.thin\.int8-onnx: .* no layout 'onyx', known are: onnx, openvino, onnx-asr",
        ),
        ("  fp32-onnx: {}\n", "  fp32-onnx: {}\n  own.onnx: {like: fp32-onnx}\n", r"schemes\.own\.onnx: a scheme's name has"),
        (
            "confidence: 0.95}",
            ASKED % "1, length: 1",
            "gate.budget.threads: 1, but benchmark.threads is 2",
        ),
        (
            "confidence: 0.95}",
            ASKED % "2, length: 3",
            "gate.budget.length: 3 is none of benchmark.lengths",
        ),
        (
            "confidence: 0.95}",
            ASKED % "2, length: 1, max_wer_rise: 1",
            "gate.budget.max_wer_rise: 1, but 100",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(tmp_path, old, new, error):
    assert re.search(error, mistaken(tmp_path, old, new))


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("steps: 3000", "steps: true", r"teacher\.training: steps"),
        ("steps: 3000", "steps: 1000000000", r"teacher\.training\.steps"),
        ("learning_rate: 1.8e-3", "learning_rate: .inf", r"teacher\.training\.learning_rate"),
        ("learning_rate: 1.8e-3", "learning_rate: .nan", r"teacher\.training\.learning_rate"),
        ("learning_rate: 1.8e-3", "learning_rate: 1.0e+18", r"teacher\.training\.learning_rate"),
        ("batch_seconds: 8", "batch_seconds: .inf", r"teacher\.training\.batch_seconds"),
        ("warmup: 0.06", "warmup: true", r"teacher\.training: warmup"),
        ("[0.85, 1.18]", "[1.0e-9, 1.0e+9]", r"teacher\.training\.augment\.speed\.0"),
        ("[0.85, 1.18]", "[0.85, true]", r"teacher\.training\.augment: speed"),
        ("[700, 4]", "[700, 5]", "training.grow: ends with 5 layers, the model has 4"),
        ("hidden_dropout: 0.0", "hidden_dropout: -1", r"teacher\.config: hidden_dropout"),
        ("hidden_dropout: 0.0", "hidden_dropout: .nan", r"teacher\.config\.hidden_dropout"),
        ("hidden_size: 192", "hidden_size: wide", r"teacher\.config: hidden_size"),
        ("hidden_size: 192", "hidden_size: -192", r"teacher\.config: hidden_size"),
        ("hidden_size: 192", "hidden_size: 1000000000", r"teacher\.config: hidden_size"),
        ("conv_dim: [64, 64, 64, 64, 64, 64]", "conv_dim: 64", r"teacher\.config: conv_dim"),
        ("conv_dim: [64,", "conv_dim: [2000000000,", r"teacher\.config: conv_dim has to be a number.* from 1 to 100,000$"),
        (
            "    layers: 2\n",
            "    layers: 2\n    config: {hidden_dropout: {}}\n",
            r"half\.config: hidden_dropout has to be a number",
        ),
        ("hidden_dropout: 0.0", "hidden_dropout: {}", r"teacher\.config: hidden_dropout has to be a number, a text"),
        ("    layers: 2\n", "    layers: 2\n    config: {hidden_dropout: 2}\n", r"students\.half\.config: hidden_dropout"),
        ("    layers: 2\n", "    layers: few\n", r"students\.half\.layers: "),
        ("temperature: 1.0", "temperature: .inf", r"half\.distillation\.temperature: "),
        ("temperature: 1.0", "temperature: [1, true]", r"half\.distillation: temperature"),
        ("kl_weight: 1.0", "kl_weight: .nan", r"half\.distillation\.kl_weight: "),
        ("kl_weight: 1.0", "kl_weight: 1.0e+18", r"half\.distillation\.kl_weight: "),
        ("bootstrap: 2000", "bootstrap: 1000000000000000000", r"evaluate\.bootstrap"),
        ("threads: 2", "threads: 1000000000000000000", r"benchmark\.threads"),
        ("energy_seconds: 1", "energy_seconds: .inf", r"benchmark\.energy_seconds"),
        ("gate: {", "gate: {max_disk_mb: .nan, ", r"gate\.max_disk_mb"),
        ("gate: {", "gate: {max_latency_p50_ms: -1, ", r"gate\.max_latency_p50_ms"),
        ("max_rise: 0.03", "max_rise: .inf", r"gate\.max_rise"),
        ("seed: 7,", "seed: 100000000000,", r"corpus\.source\.seed"),
        ("logits:", "time_limits: {teacher: true}\nlogits:", "time_limits"),
        ("logits:", "time_limits: {teacher: .inf}\nlogits:", r"time_limits\.teacher"),
        ("  text: {", "  limits: {max_seconds: .inf}\n  text: {", r"corpus\.limits\.max_seconds"),
        (
            "  text: {",
            "  limits: {min_seconds: 5, max_seconds: 2}\n  text: {",
            "min_seconds 5 and max_seconds 2 leave no utterance",
        ),
        ("calibration_utterances: 64", "calibration_utterances: true", r"int8-openvino: .*calibration_utterances"),
        ("calibration_utterances: 64", "calibration_utterances: 1000000000000000000", r"int8-openvino\.calibration_utterances"),
        ("profile: quickstart", "profile: ../../EVIL", "profile"),
        ("profile: quickstart", "profile: ''", "profile"),
        ("experiment: bigfoot", "experiment: ../../EVIL", r"tracking\.experiment"),
        ("experiment: bigfoot", "experiment: a/../../EVIL", r"tracking\.experiment"),
        ("experiment: bigfoot", "experiment: ''", r"tracking\.experiment"),
        ("learning_rate: 1.8e-3", "learning_rate: 1.0e-320", r"teacher\.training\.learning_rate"),
        ("batch_seconds: 8", "batch_seconds: 1.0e-320", r"teacher\.training\.batch_seconds"),
        ("lengths: [1, 5, 20]", "lengths: [1, 5, 1]", "list each length once"),
        ("license: CC0-1.0", r'license: "a\nb"', r"corpus\.license"),
        ("name: quickstart\n  data", f"name: {'a' * 300}\n  data", r"corpus\.name"),
        ("profile: quickstart", f"profile: {'a' * 300}", "profile"),
        ("logits:", "time_limits: {studnet: 1}\nlogits:", r"time_limits\.studnet: is not a stage, known: .*student"),
        ("logits:", "time_limits: {student@none: 1}\nlogits:", "student has no part 'none', known: half, thin"),
        ("logits:", "time_limits: {teacher@half: 1}\nlogits:", "teacher has no part 'half', known: none"),
    ],
)
def test_a_value_that_no_run_can_have_is_refused(tmp_path, old, new, key):
    assert re.search(f"{key}", mistaken(tmp_path, old, new))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no keys: `bigfoot use PROFILE`"),
        (b"- a", "has no keys: `bigfoot use PROFILE`"),
        (b"profile: \xe9", "is not text in UTF-8: save it as UTF-8"),
        (b"a: 1\na: 2", r'found duplicate key "a" with value "2" \(original value: "1"\) line 2, column 1$'),
    ],
)
def test_a_file_that_is_damaged_as_a_whole_says_what_to_do(tmp_path, content, message):
    (tmp_path / "params.yaml").write_bytes(content)
    with pytest.raises(BigfootError, match=message):
        load_params(tmp_path / "params.yaml")


def test_time_limits_of_stages_are_taken(tmp_path):
    limits = "{prepare: 1, student: 2, student@half: 3, quantize@thin-int8-onnx: 4}"
    (tmp_path / "params.yaml").write_text(QUICKSTART.replace("logits:", f"time_limits: {limits}\nlogits:"))
    assert load_params(tmp_path / "params.yaml").time_limits["student@half"] == 3


def test_yaml_that_is_no_text_too_deep_or_has_an_impossible_value_is_one_line(tmp_path):
    for content in (b"\xff\xfe\x00", b"[" * 50_000, b"profile: 2001-99-99", b"profile: " + b"9" * 5_000, b"a: 1\na: 2"):
        (tmp_path / "params.yaml").write_bytes(content)
        with pytest.raises(BigfootError) as caught:
            load_params(tmp_path / "params.yaml")
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 2_000


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("columns: {adio: file}", r"corpus\.source\.columns\.adio.*'audio', 'text'"),
        ("columns: {speaker: {from: file, pattern: '^\\w{8}'}}", r"corpus\.source\.columns\.speaker\.pattern: has no group"),
        ("columns: {speaker: {from: file, pattern: '^(\\w{8}'}}", r"columns\.speaker\.pattern: is not a regular expression"),
        ("split: {dev: 0.1}", r"corpus\.source: manifest is missing"),
        ("columns: {split: part}", r"corpus\.source: manifest is missing"),
        (
            "manifest: a.csv, split: {dev: 0.5, test: 0.5}",
            r"source\.split: dev 0.5 and test 0.5 leave nothing",
        ),
        ("manifest: a.csv, split: {dev: 0}", r"corpus\.source\.split\.dev: .*greater than 0"),
        ("manifest: a.csv, split: {}, dev: b.csv", r"corpus\.source: split draws all splits from `manifest`"),
        ("manifest: a.csv, train: x, dev: x", r"corpus\.source: two splits have one name"),
    ],
)
def test_a_mistake_in_the_folder_source_is_one_line_that_names_the_key(tmp_path, source, error):
    synthetic = re.search("source: {kind: synthetic.*}", QUICKSTART)[0]
    assert re.search(error, mistaken(tmp_path, synthetic, f"source: {{kind: folder, {source}}}"))


def test_stored_features_need_every_parent_to_read_them_too(tmp_path):
    """thin reads it, but half, which it comes from, changes it."""
    stored = ("{temperature", "{features: stored, temperature")
    half, thin = QUICKSTART.replace("logits: {", "logits: {features: true, ").split("  thin:", 1)
    thin = "  thin:" + thin.replace("    conv_channels: 48\n", "").replace(*stored)
    (tmp_path / "params.yaml").write_text(half + thin)
    with pytest.raises(BigfootError, match="students.thin.distillation.features: .* parent half may change: set it for half"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text(half.replace(*stored) + thin)
    assert load_params(tmp_path / "params.yaml").students["thin"].distillation.reads_store


def test_students_of_an_untrained_teacher_are_not_trained(tmp_path):
    """The quickstart with nothing trained but its student thin."""
    raw = YAML(typ="safe").load(QUICKSTART)
    raw["teacher"] |= {"finetune": False, "training": None}
    raw["students"]["half"]["training"] = None
    YAML().dump(raw, tmp_path / "params.yaml")
    with pytest.raises(
        BigfootError, match=r"students\.thin\.training: has to be null: an untrained teacher has nothing to teach"
    ):
        load_params(tmp_path / "params.yaml")
    raw["students"]["thin"]["training"] = None
    YAML().dump(raw, tmp_path / "params.yaml")
    assert load_params(tmp_path / "params.yaml").teacher.is_untrained


def test_the_untrained_paper_has_the_shapes_that_the_papers_profile_trains():
    trained, untrained = (load_params(ROOT / f"profiles/{name}.yaml") for name in ("paper", "paper_scale"))
    config = untrained.teacher.config
    assert params.shape("teacher", {}, config) == {
        "layers": 24, "hidden": 1024, "heads": 16, "feed_forward": 4096, "conv_channels": 512, "convolutions": 7,
    }  # fmt: skip
    for name in trained.students:
        assert params.shape(name, untrained.students, config) == params.shape(name, trained.students, config)
    whole = params.shape("tiny", trained.students, config) | {"conv_channels": 512, "convolutions": 7}
    assert params.shape("tiny_whole", untrained.students, config) == whole
    assert set(trained.variants) <= set(untrained.variants)


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(BigfootError, match="bigfoot use"):
        load_params(tmp_path / "params.yaml")


def test_numbers_of_a_language_that_num2words_lacks_are_kept_or_refused():
    facts = {"name": "own", "data": "data/own", "license": "CC0-1.0", "language": "zh", "source": {"kind": "folder"}}
    with pytest.raises(ValueError, match="num2words can't spell numbers in zh: set text.digits to keep"):
        params.Corpus(**facts)
    assert params.Corpus(**facts, text={"digits": "keep"}).language == "zh"


@pytest.mark.parametrize(
    "tag", ["de", "de-CH", "pt-BR", "zh-Hant-TW", "sr-Latn", "es-419", "de-1996", "de-u-co-phonebk", "gsw"]
)
def test_well_formed_language_tags_are_taken(tag):
    facts = {"name": "own", "data": "data/own", "license": "CC0-1.0", "source": {"kind": "folder"}}
    assert params.Corpus(**facts, language=tag, text={"digits": "keep"}).language == tag
