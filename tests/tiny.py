"""Tiny models for tests: a wav2vec 2.0 CTC recognizer of about 30k random weights, saved as the training stages do.

The feature encoder keeps wav2vec 2.0's own kernels and strides (400 samples of receptive field, a frame every
320), so lengths in tests are the real ones; only the widths are small. Weights are drawn large enough that logits
differ visibly between frames.
"""

import json
from pathlib import Path

import numpy as np

from pipeline.speech.corpus import open_corpus
from pipeline.speech.shards import Utterance
from tests import corpora

VOCAB = ["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefghijklmnopqrstuvwxyz'"]
TEXTS = ["", "", "", "", " ", *"abcdefghijklmnopqrstuvwxyz'"]  # what each token writes


FAMILIES = ("wav2vec2", "hubert", "wavlm", "data2vec-audio")


def save_model(
    folder: Path,
    norm: str = "group",
    seed: int = 0,
    layers: int = 2,
    hidden: int = 32,
    stable: bool = True,
    positions: tuple[int, int] = (16, 4),
    channels: int = 16,
    heads: int = 2,
    family: str = "wav2vec2",
    **changes,
) -> Path:
    """Write a Hugging Face folder (model.safetensors, config, processor) with a 'group' or 'layer' norm feature encoder.

    A data2vec model has layer norm and post-norm layers whatever is asked. `changes` are further keys of its config.

    `stable`: pre-norm layers, as large models have; else post-norm, as base has. `positions`: frames and groups of the
    positional convolution.
    """
    import torch
    from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2Processor

    from pipeline.models import families

    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    model_class = families.model_class(family)
    settings = dict(
        vocab_size=len(VOCAB),
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=2 * hidden,
        conv_dim=(channels,) * 7,
        conv_bias=norm == "layer",
        num_conv_pos_embeddings=positions[0],
        num_conv_pos_embedding_groups=positions[1],
        feat_extract_norm=norm,
        do_stable_layer_norm=stable,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        ctc_loss_reduction="mean",
        ctc_zero_infinity=True,
    )
    if family == "data2vec-audio":
        norm, (kernel, _) = "layer", positions
        del settings["feat_extract_norm"], settings["do_stable_layer_norm"]
        settings |= {"num_conv_pos_embeddings": 3, "conv_pos_kernel_size": kernel - 1}
    model = model_class(model_class.config_class(**settings | changes)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("weight") and weight.dim() == 2:
                weight.normal_(0, weight.shape[1] ** -0.5)
        model.lm_head.weight.mul_(3)
    model.save_pretrained(folder)

    words = folder / "words.json"
    words.write_text(json.dumps({token: index for index, token in enumerate(VOCAB)}))
    tokenizer = Wav2Vec2CTCTokenizer(str(words), do_lower_case=False)
    words.unlink()
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=norm == "layer")
    Wav2Vec2Processor(feature_extractor=extractor, tokenizer=tokenizer).save_pretrained(folder)
    return folder


def speech(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise whose loudness and pitch wander like speech: float32 [seconds x 16,000] within [-1, 1]."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * 16_000)) / 16_000
    pitch = 120 + 40 * np.sin(2 * np.pi * 0.7 * time + random.uniform(0, 6))
    voice = np.sin(2 * np.pi * np.cumsum(pitch) / 16_000) + 0.3 * random.standard_normal(time.size)
    return (0.2 * voice * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))).astype(np.float32)


def noise_corpus(folder: Path, text: str = "one"):
    """A corpus of four utterances, the same in gate and test, each with `text` as its transcript."""
    test = [(Utterance(f"t{i}", text, "who", 0.6 + 0.2 * i), speech(0.6 + 0.2 * i, seed=i)) for i in range(4)]
    return open_corpus(corpora.write(folder, {"train": [], "dev": [], "gate": test, "test": test}, name="noise"))


class TrainingAudio:
    """As much of a corpus as calibration asks for: training utterances of `seconds` each, and which were used."""

    def __init__(self, count: int = 6, seconds: float = 1.5):
        self.ids = list(range(count))
        self.seconds = seconds
        self.used: list[int] = []
        self.rules: dict = {}

    def utterances(self, split: str) -> list[int]:
        assert split == "train", f"{split} is not for calibration"
        return self.ids

    def audio(self, utterance: int) -> np.ndarray:
        self.used.append(utterance)
        return speech(self.seconds, seed=utterance)


class Spoken(TrainingAudio):
    """Training audio, and a dev set with these texts for what decides on dev; there is no test set."""

    def __init__(self, texts: list[str], **training):
        super().__init__(**training)
        self.dev = [Utterance(str(index), text, "", self.seconds) for index, text in enumerate(texts)]

    def utterances(self, split: str) -> list:
        return self.dev if split == "dev" else super().utterances(split)

    def audio(self, utterance) -> np.ndarray:
        if utterance in self.dev:
            return speech(self.seconds, seed=100 + int(utterance.id))
        return super().audio(utterance)
