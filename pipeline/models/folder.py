"""Model folders: they load with AutoModelForCTC and AutoProcessor, and store weights as safetensors."""

import json
from pathlib import Path

from pipeline.common.errors import BigfootError


def save_model(model, processor, folder: Path) -> None:
    """Write a folder that AutoModelForCTC and AutoProcessor load (weights as safetensors)."""
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def load_model(folder: Path):
    """(Wav2Vec2ForCTC in eval mode, Wav2Vec2Processor) of a model folder; BigfootError where it isn't one."""
    from transformers import AutoModelForCTC, AutoProcessor

    check_architecture(folder)
    return AutoModelForCTC.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)


def check_architecture(folder: Path) -> None:
    """Raise BigfootError unless `folder` holds a wav2vec 2.0 model."""
    config = Path(folder) / "config.json"
    if not config.is_file():
        raise BigfootError(f"{folder} has no model (config.json is missing): give a Hugging Face model folder")
    try:
        kind = json.loads(config.read_text()).get("model_type")
    except (ValueError, AttributeError):
        raise BigfootError(f"{config} is not a valid JSON object: fetch the model again") from None
    if kind != "wav2vec2":
        raise BigfootError(f"{config} describes a '{kind}' model: Bigfoot shrinks wav2vec2 models only")
