"""Model folders: they load with AutoModelForCTC and AutoProcessor, and store weights as safetensors.

Decision: SHA256SUMS, in the format of the command sha256sum, has the sums of the files that make the model. Whatever opens the
folder compares them (about one second per gigabyte), so that nothing is trained, quantized or published from damaged weights.
A folder without it, older or made by others, opens without that check.
"""

import json
from pathlib import Path

from pipeline.common.errors import BigfootError
from pipeline.common.files import SUMS, read_text, sha256, write_whole
from pipeline.models import families
from pipeline.models.int8_ranges import RANGES

PROCESSOR = (
    "vocab.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json", "special_tokens_map.json",
    "added_tokens.json",
)  # fmt: skip
FEW_BITS = "few_bits.json"  # what a student was trained for: pipeline.models.few_bits
REMEDY = "copy the model again, or train it again"


def save_model(model, processor, folder: Path) -> None:
    """Write a folder that AutoModelForCTC and AutoProcessor load (weights as safetensors)."""
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    write_sums(folder)


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS of the files that make the model."""
    files = [*folder.glob("model*.safetensors*"), *(folder / name for name in ("config.json", FEW_BITS, RANGES, *PROCESSOR))]
    write_whole(folder / SUMS, "".join(f"{sha256(file)}  {file.name}\n" for file in sorted(files) if file.is_file()))


def load_model(folder: Path):
    """(model in eval mode, Wav2Vec2Processor) of a model folder; BigfootError where it isn't one, or is damaged."""
    from transformers import Wav2Vec2Processor

    from pipeline.models.wavlm import call_projections

    check_sums(folder)
    kind = family(folder)
    try:
        model = families.model_class(kind).from_pretrained(folder).eval()
        processor = Wav2Vec2Processor.from_pretrained(folder)
    except Exception as error:  # transformers, tokenizers and safetensors each raise their own kinds for a damaged file
        reason = " ".join(str(error).split())[:200]
        raise BigfootError(f"{folder} can't be loaded ({reason}): {REMEDY}") from None
    call_projections(model)
    return model, processor


def check_sums(folder: Path) -> list[str]:
    """The names of the files that make the model, [] where they have no sums; BigfootError where one is not as it was saved."""
    if not (folder / SUMS).is_file():
        return []
    if not (lines := read_text(folder / SUMS, None).splitlines()):
        raise BigfootError(f"{folder / SUMS} is empty: {REMEDY}")
    names = []
    for number, line in enumerate(lines, start=1):
        content, _, name = line.partition("  ")
        if len(content) != 64 or Path(name).name != name or not name:
            raise BigfootError(f"{folder / SUMS}, line {number} is not a sum and a file's name: {REMEDY}")
        if not (folder / name).is_file():
            raise BigfootError(f"{folder}: {name} is missing, the model is incomplete: {REMEDY}")
        if sha256(folder / name) != content:
            raise BigfootError(f"{folder}: {name} is cut off or damaged, it is not as it was saved: {REMEDY}")
        names.append(name)
    return names


def family(folder: Path) -> str:
    """The model_type of a model folder; BigfootError where it isn't one, or its family is not one that Bigfoot shrinks."""
    config = Path(folder) / "config.json"
    if not config.is_file():
        raise BigfootError(f"{folder} has no model (config.json is missing): give a Hugging Face model folder")
    try:
        settings = json.loads(config.read_text(encoding="utf-8"))
        families.check(settings, str(folder))
    except (ValueError, AttributeError, RecursionError):
        raise BigfootError(f"{config} is not a valid JSON object: fetch the model again") from None
    return settings["model_type"]
