"""The model families that Bigfoot shrinks, and how they differ.

All have a feature encoder of convolutions on the raw waveform, a projection, a transformer and a CTC head.

- wav2vec2: wav2vec 2.0 (base, large, lv60), XLS-R, and MMS, whose layers end in an adapter per language.
- hubert: the same modules; the projection may lack its norm.
- wavlm: attention adds a position bias, which the first layer computes and each layer scales by a gate per head and frame.
- data2vec-audio: a layer-norm feature encoder, post-norm layers, and several positional convolutions in a row.
"""

import math
from importlib import import_module

from pipeline.common.errors import BigfootError

_CLASSES = {  # model_type: transformers' module and class
    "wav2vec2": ("wav2vec2.modeling_wav2vec2", "Wav2Vec2ForCTC"),
    "hubert": ("hubert.modeling_hubert", "HubertForCTC"),
    "wavlm": ("wavlm.modeling_wavlm", "WavLMForCTC"),
    "data2vec-audio": ("data2vec.modeling_data2vec_audio", "Data2VecAudioForCTC"),
}
_REFUSED = {
    "wav2vec2-bert": "it reads filter banks, not the waveform",
    "wav2vec2-conformer": "its convolutions and batch norms mix padding into speech",
}


def check(config: dict, where: str) -> None:
    """Raise BigfootError where `config`, a config.json, is not of a model that Bigfoot shrinks."""
    family = str(config.get("model_type"))  # others' JSON may hold anything
    if family not in _CLASSES:
        reason = f" ({_REFUSED[family]})" if family in _REFUSED else ""
        raise BigfootError(f"{where} is a '{family}' model{reason}: Bigfoot shrinks CTC models of {', '.join(_CLASSES)}")
    for key in ("add_adapter", "conv_pos_batch_norm"):
        if config.get(key):
            raise BigfootError(f"{where} has {key}: true, which Bigfoot can't run: take a model without it")
    widths = config.get("conv_dim")
    is_group = family != "data2vec-audio" and config.get("feat_extract_norm", "group") == "group"
    if is_group and isinstance(widths, list | tuple) and len(widths) == 1:
        raise BigfootError(f"{where} has group norm and one convolution, which Bigfoot can't run: take layer norm")


def check_masks(config, where: str) -> None:
    """Raise BigfootError where a mask of SpecAugment can't be drawn; `config`: an object."""
    if not getattr(config, "apply_spec_augment", True):
        return
    for mask, most in (("time", math.inf), ("feature", config.hidden_size)):
        share, length = getattr(config, f"mask_{mask}_prob"), getattr(config, f"mask_{mask}_length")
        if share > 0 and not 1 <= length <= most:
            limit = "1 or more" if most == math.inf else f"from 1 to the model's hidden_size, {most}"
            raise BigfootError(f"{where}: mask_{mask}_length is {length}: it has to be {limit}, or mask_{mask}_prob 0")


def model_class(family: str):
    """transformers' class of a family's CTC models. Its module alone is imported: AutoModelForCTC takes seconds longer."""
    module, name = _CLASSES[family]
    return getattr(import_module(f"transformers.models.{module}"), name)


def is_group_norm(config) -> bool:
    """Whether the feature encoder normalizes over time (as 'base' does), so that padding changes it; `config`: an object."""
    return getattr(config, "feat_extract_norm", "layer") == "group"


def is_pre_norm(config) -> bool:
    """Whether the layers normalize their input, and not their output; `config`: an object."""
    return getattr(config, "do_stable_layer_norm", False)
