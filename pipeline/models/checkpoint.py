"""Takes in a pretrained model as it lies on the hub or in a folder: its weights, its vocabulary, its feature extractor.

Only JSON and tensors are read: safetensors, or a pytorch_model.bin with weights_only, so that no pickled code runs. Whatever
processor class the folder names (Wav2Vec2ProcessorWithLM, a custom one), its tokenizer's and feature extractor's files are
read, and a plain Wav2Vec2Processor is made of them. A tensor that is missing, has another shape or is left over stops the
stage, except those listed here.
"""

import json
import logging
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from pipeline.common.errors import Away, BigfootError, is_away
from pipeline.models import families, vocabulary
from pipeline.models.description import extractor
from pipeline.models.vocabulary import Vocabulary
from pipeline.speech.audio import SAMPLE_RATE

# What pretraining leaves beside a model, and SpecAugment's mask, which a model trained without SpecAugment lacks.
_LEFT_OVER = re.compile(r"(^|\.)(quantizer|project_q|project_hid|final_proj|label_embs_concat|mask_emb)(\.|$)")
_MAY_BE_MISSING = re.compile(r"(^|\.)masked_spec_embed$")
_FOLDED = re.compile(r"pos_conv_embed\.conv\.(weight|parametrizations\.weight\.original[01]|weight_[gv])$")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A pretrained model: a name on the hub (`revision`: a commit), or a folder where `is_folder`. Nothing is loaded yet."""

    source: str
    is_folder: bool
    revision: str | None = None
    _known: dict[str, dict | None] = field(default_factory=dict, init=False, repr=False, compare=False)  # JSON files, by name

    def json(self, name: str) -> dict | None:
        """A JSON file; None where there is none. Raises BigfootError where it can't be read, Away where the hub can't."""
        if name not in self._known:
            self._known[name] = self._read_json(name)
        return self._known[name]

    def _read_json(self, name: str) -> dict | None:
        path = self._file(name)
        if path is None:
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise BigfootError(f"{self.source}: {name} is not a valid JSON object: fetch the model again")
        return content

    def config(self) -> dict:
        """config.json of a model that Bigfoot shrinks; raises BigfootError for any other."""
        config = self.json("config.json")
        if config is None:
            raise BigfootError(f"{self.source} has no model (config.json is missing): give a Hugging Face model folder")
        families.check(config, self.source)
        return config

    def vocabulary(self, language: str | None) -> Vocabulary:
        """The vocabulary of the model's CTC head; `language`: see `Vocabulary`."""
        config = self.config()
        size = len(self._adapter_head(language)) if language else config.get("vocab_size", 32)
        return vocabulary.read(self.json, size, config.get("pad_token_id"), self.source, language)

    def normalizes(self) -> bool:
        """Whether audio is normalized; raises BigfootError where the model needs another sample rate than Bigfoot's."""
        settings = extractor(self.json)
        if settings is None:
            log.warning(
                "%s has no preprocessor_config.json: its audio is taken as 16 kHz, normalized to mean 0 and variance 1",
                self.source,
            )
            return True
        if (rate := settings.get("sampling_rate", SAMPLE_RATE)) != SAMPLE_RATE:
            raise BigfootError(f"{self.source} takes audio of {rate:,} Hz: Bigfoot shrinks models of {SAMPLE_RATE:,} Hz only")
        return settings.get("do_normalize", True)

    def load(self, new_head: bool, language: str | None, settings: dict):
        """The model in float32, with `settings` in its config; `new_head`: whether its CTC head is drawn anew.

        `language`: the adapter and head of this language, for MMS. Raises BigfootError where a tensor doesn't fit.
        """
        import torch

        config = self.config()
        model_class = families.model_class(config["model_type"])
        keys = model_class.config_class
        if unknown := [key for key in settings if key not in keys().to_dict()]:
            raise BigfootError(f"teacher.config.{unknown[0]} is not a key of {keys.__name__}: check its spelling")
        try:
            model, report = model_class.from_pretrained(
                self.source, revision=self.revision, ignore_mismatched_sizes=True, output_loading_info=True, dtype="float32",
                **settings,
            )  # fmt: skip
            if language:
                model.load_adapter(language, revision=self.revision)
        except unloadable() as error:
            self._raise(error)
        refolded = self._unfold(model, report)
        self._check(report, refolded, renewed=new_head or language is not None)
        if new_head:
            # Also where the old head has the same size, since its outputs mean other letters.
            torch.nn.init.normal_(model.lm_head.weight, std=model.config.initializer_range)
            torch.nn.init.zeros_(model.lm_head.bias)
        return model

    def _check(self, report: dict, refolded: bool, renewed: bool) -> None:
        def odd(name: str) -> bool:
            return not (renewed and name.startswith("lm_head.")) and not (refolded and _FOLDED.search(name))

        lacking = sorted(name for name in report["missing_keys"] if odd(name) and not _MAY_BE_MISSING.search(name))
        if any(name.startswith("lm_head.") for name in lacking):
            raise BigfootError(f"teacher {self.source} has no CTC head: set teacher.alphabet to corpus and fine-tune it")
        misshapen = [
            f"{name} has shape {list(found)}, config.json says {list(wanted)}"
            for name, found, wanted in report["mismatched_keys"]
            if odd(name)
        ]
        left_over = sorted(name for name in report["unexpected_keys"] if odd(name) and not _LEFT_OVER.search(name))
        problems = [f"{name} is missing" for name in lacking] + misshapen + [f"{name} has no place in it" for name in left_over]
        if problems:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise BigfootError(f"teacher {self.source}: its weights don't fit its config.json: {problems[0]}{more}")

    def _unfold(self, model, report: dict) -> bool:
        """Set a positional convolution that was saved without its weight norm; whether it was."""
        folded = [name for name in report["unexpected_keys"] if name.endswith("pos_conv_embed.conv.weight")]
        if folded:
            model.base_model.encoder.pos_conv_embed.conv.weight = self._tensors(folded)[folded[0]]
        return bool(folded)

    def _tensors(self, names: list[str]) -> dict:
        """Some tensors of the checkpoint, by name."""
        import torch
        from safetensors import safe_open

        if index := self.json("model.safetensors.index.json"):
            files = {self._file(index["weight_map"][name]) for name in names}
        else:
            files = {self._file("model.safetensors")}
        found: dict = {}
        for path in filter(None, files):
            with safe_open(path, "pt") as tensors:
                found |= {name: tensors.get_tensor(name) for name in names if name in tensors.keys()}  # noqa: SIM118
        if not found and (pickled := self._file("pytorch_model.bin")):
            found = torch.load(pickled, map_location="cpu", weights_only=True)
        return {name: found[name] for name in names}

    def _adapter_head(self, language: str | None):
        """The head of a language's adapter file: float [outputs, hidden]."""
        import torch
        from safetensors.torch import load_file

        try:
            if path := self._file(f"adapter.{language}.safetensors"):
                return load_file(path)["lm_head.weight"]
            if path := self._file(f"adapter.{language}.bin"):
                return torch.load(path, map_location="cpu", weights_only=True)["lm_head.weight"]
        except unloadable() as error:
            self._raise(error)
        raise BigfootError(f"{self.source} has no adapter of language {language} (adapter.{language}.safetensors is missing)")

    def _file(self, name: str) -> Path | None:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        if self.is_folder:
            path = Path(self.source) / name
            return path if path.is_file() else None
        try:
            return Path(hf_hub_download(self.source, name, revision=self.revision))
        except LocalEntryNotFoundError as error:  # no connection, and not in the cache
            self._raise(error)
        except EntryNotFoundError:
            return None
        except unloadable() as error:
            self._raise(error)

    def _raise(self, error: Exception) -> NoReturn:
        if not self.is_folder and is_away(error):
            raise Away(f"the hub can't be reached for teacher {self.source}: check the network connection") from None
        raise BigfootError(f"teacher {self.source} can't be loaded: {one_line(error)}") from None


def unloadable() -> tuple[type[Exception], ...]:
    """The exceptions that transformers raises for a folder or hub name that can't be loaded."""
    from pickle import UnpicklingError

    from safetensors import SafetensorError

    return (OSError, ImportError, SafetensorError, UnpicklingError, *not_a_model())


def not_a_model() -> tuple[type[Exception], ...]:
    """The errors that transformers raises for settings that don't fit together."""
    from huggingface_hub.errors import StrictDataclassError

    return (ValueError, TypeError, KeyError, RuntimeError, StrictDataclassError)


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
