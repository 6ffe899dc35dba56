"""Model folders: they load with AutoModelForCTC and AutoProcessor, and store weights as safetensors."""

import json
from pathlib import Path

from pipeline.common.errors import BigfootError
from pipeline.models import families


def save_model(model, processor, folder: Path) -> None:
    """Write a folder that AutoModelForCTC and AutoProcessor load (weights as safetensors)."""
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def load_model(folder: Path):
    """(model in eval mode, Wav2Vec2Processor) of a model folder; BigfootError where it isn't one."""
    from transformers import Wav2Vec2Processor

    from pipeline.models.wavlm import call_projections

    model = families.model_class(family(folder)).from_pretrained(folder).eval()
    call_projections(model)
    return model, Wav2Vec2Processor.from_pretrained(folder)


def family(folder: Path) -> str:
    """The model_type of a model folder; BigfootError where it isn't one, or its family is not one that Bigfoot shrinks."""
    config = Path(folder) / "config.json"
    if not config.is_file():
        raise BigfootError(f"{folder} has no model (config.json is missing): give a Hugging Face model folder")
    try:
        settings = json.loads(config.read_text(encoding="utf-8"))
        families.check(settings, str(folder))
    except (ValueError, AttributeError):
        raise BigfootError(f"{config} is not a valid JSON object: fetch the model again") from None
    return settings["model_type"]
