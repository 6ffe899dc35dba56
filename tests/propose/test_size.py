"""A variant's size is foretold to 2%, whatever its shape and scheme."""

import json
import random

import pytest

from pipeline.benchmark.processes import size_mb
from pipeline.common.errors import BigfootError
from pipeline.lab.plan.probes import Memory
from pipeline.models.description import describe
from pipeline.propose.size import STORES, Sizes, weights
from pipeline.propose.tensors import tensors
from pipeline.propose.untrained import Untrained
from pipeline.quantize.schemes import SCHEMES, make
from tests.tiny import FAMILIES, TrainingAudio, save_model

OWN = [name for name, scheme in SCHEMES.items() if scheme.kind == "own" and name != "int8ac-openvino"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("changes", [{}, {"norm": "layer"}, {"mask_time_prob": 0.0}, {"conv_bias": True}])
def test_tensors_counted_from_a_config_are_those_of_the_model(family, changes, tmp_path):
    folder = save_model(tmp_path / "model", layers=3, hidden=64, family=family, **changes)
    config = json.loads((folder / "config.json").read_text())
    assert tensors(config).numbers == describe(folder)["params"]


def test_every_own_scheme_is_foretold_but_the_one_that_decides_on_dev():
    assert {type(make(name)).__name__ for name in OWN} == set(STORES)
    with pytest.raises(BigfootError, match="decided by what it finds on dev"):
        weights(make("int8ac-openvino"), {"model_type": "wav2vec2"} | _config())


@pytest.mark.parametrize("scheme", OWN)
def test_a_made_folder_has_the_foretold_size(scheme, tmp_path):
    processor = _processor(tmp_path)
    settings = {scheme: {"group_size": 32} if scheme == "int4w-openvino" else {}}
    maker = Untrained(processor, TrainingAudio(), settings, tmp_path)
    sizes = Sizes(Memory(tmp_path / "costs.json"), maker.made, settings)
    draw = random.Random(scheme)
    for _ in range(3):
        hidden = draw.choice([64, 96, 128, 192])
        merged = draw.random() < 0.5
        config = _config() | {
            "num_hidden_layers": draw.randint(1, 4), "hidden_size": hidden, "num_attention_heads": hidden // 32,
            "intermediate_size": hidden * draw.choice([1, 2, 4]),
        }  # fmt: skip
        if merged:
            config |= {"conv_kernel": [20, 7, 5, 2], "conv_stride": [10, 4, 4, 2], "num_feat_extract_layers": 4}
        config["conv_dim"] = [draw.choice([16, 32, 64])] * len(config["conv_kernel"])
        foretold = sizes.mb(config, scheme)
        made = size_mb(maker.made(config, scheme))
        smoothing = 0.015 if scheme in ("int8-openvino", "int8qat-openvino") else 0.0  # MB, see pipeline/propose/size.py
        assert abs(foretold - made) < max(0.02 * made, smoothing), (config["num_hidden_layers"], hidden, config["conv_dim"])


def _processor(folder):
    from transformers import Wav2Vec2Processor

    return Wav2Vec2Processor.from_pretrained(save_model(folder / "tiny"))


def _config() -> dict:
    """The config.json of a tiny model with a positional convolution of 32 frames in 16 groups."""
    from transformers import Wav2Vec2Config

    return Wav2Vec2Config(
        vocab_size=32, hidden_size=64, num_hidden_layers=1, num_attention_heads=2, intermediate_size=128,
        num_conv_pos_embeddings=32, num_conv_pos_embedding_groups=16, conv_dim=(32,) * 7, do_stable_layer_norm=True,
        architectures=["Wav2Vec2ForCTC"], pad_token_id=0,
    ).to_dict()  # fmt: skip
