"""Variants of tiny models with either kind of feature encoder, trained on normalized audio or on audio as it is."""

import json

import numpy as np
import pytest

from pipeline.quantize.run import quantize
from tests.tiny import TrainingAudio, save_model, speech

FILES = {"README.md", "config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json", "vocab.json"}
AUDIOS = [speech(seconds, seed) for seed, seconds in enumerate((0.01, 0.025, 0.3, 1.7))]
CARD = "# A card\n\n## License\n\nunknown\n\n## How to run it\n\nHow it was run\n"


@pytest.fixture(scope="session")
def variants(tmp_path_factory):
    """{(norm, normalize, scheme): folder}, each made when a test first needs it."""
    folder = tmp_path_factory.mktemp("variants")

    class Made(dict):
        def __missing__(self, key):
            norm, normalize, scheme = key
            model = save_model(folder / f"{norm}_{normalize}", norm)
            settings = json.loads((model / "processor_config.json").read_text())
            settings["feature_extractor"]["do_normalize"] = normalize
            (model / "processor_config.json").write_text(json.dumps(settings))
            quantize(scheme, {}, model, TrainingAudio(), folder / f"{norm}_{normalize}.{scheme}")
            return self.setdefault(key, folder / f"{norm}_{normalize}.{scheme}")

    return Made()


def folded(logits: np.ndarray) -> np.ndarray:
    """Logits [frames, vocab] of tiny models, in which the blank has the scores of all tokens that write nothing."""
    return np.concatenate([logits[:, :4].max(1, keepdims=True), np.full((len(logits), 3), -1e4), logits[:, 4:]], 1)
