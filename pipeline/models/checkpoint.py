"""Takes in a pretrained model as it lies on the hub or in a folder: its weights, its vocabulary, its feature extractor.

Only JSON and tensors are read: safetensors, or a pytorch_model.bin with weights_only, so that no pickled code runs. Whatever
processor class the folder names (Wav2Vec2ProcessorWithLM, a custom one), its tokenizer's and feature extractor's files are
read, and a plain Wav2Vec2Processor is made of them; a language model stays where it is, and one line says how to use it. A
tensor that doesn't fit config.json stops the stage (weights.py).
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, TypedDict

from pipeline.common import shapes
from pipeline.common.errors import Away, BigfootError, is_away
from pipeline.common.files import sha256
from pipeline.models import families, vocabulary, weights
from pipeline.models.description import extractor
from pipeline.models.vocabulary import Vocabulary
from pipeline.speech.audio import SAMPLE_RATE

log = logging.getLogger(__name__)


class _Index(TypedDict):
    metadata: dict
    weight_map: dict[str, str]  # {tensor: its file}


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
        for key in ("conv_dim", "conv_kernel", "conv_stride"):
            sizes = config.get(key, [1])
            if not isinstance(sizes, list) or not all(type(size) is int and size > 0 for size in sizes):
                raise BigfootError(f"{self.source}: {key} in config.json has to be a list of whole numbers above 0")
        return config

    def language_model(self) -> str:
        """What to do with the language model that the model brings (of a Wav2Vec2ProcessorWithLM), in one line; "" without."""
        if self.json("alphabet.json") is None:
            return ""
        if not self.is_folder:
            return f"the teacher {self.source} brings a language model, which is left out: docs/decoding.md says how to use it"
        folder = Path(self.source) / "language_model"
        for file in sorted(path for path in folder.glob("*") if path.name.endswith((".bin", ".arpa", ".arpa.gz"))):
            return f"the teacher brings a language model; a scheme uses it by lm: {{file: {file}, sha256: {sha256(file)}}}"
        return f"the teacher brings a language model, but {folder} has no .arpa, .arpa.gz or .bin (KenLM): it is left out"

    def vocabulary(self, language: str | None) -> Vocabulary:
        """The vocabulary of the model's CTC head; `language`: see `Vocabulary`."""
        config = self.config()
        size, blank = config.get("vocab_size", 32), config.get("pad_token_id")
        if language:
            size = len(self._adapter_head(language))
        for key, value in (("vocab_size", size), ("pad_token_id", 0 if blank is None else blank)):
            if type(value) is not int:
                raise BigfootError(f"{self.source}: {key} in config.json is {json.dumps(value)}: it has to be an integer")
        try:
            return vocabulary.read(self.json, size, blank, self.source, language)
        except (AttributeError, TypeError):
            files = "vocab.json, tokenizer_config.json, special_tokens_map.json or tokenizer.json"
            raise BigfootError(f"{self.source}: {files} has a value of a wrong type: fetch the model again") from None

    def normalizes(self) -> bool:
        """Whether audio is normalized; raises BigfootError where the model needs another sample rate than Bigfoot's."""
        settings = extractor(self.json)
        if settings is None:
            log.warning(
                "%s has no preprocessor_config.json: its audio is taken as 16 kHz, normalized to mean 0 and variance 1",
                self.source,
            )
            return True
        rate, normalizes = settings.get("sampling_rate", SAMPLE_RATE), settings.get("do_normalize", True)
        if type(rate) is not int or type(normalizes) is not bool:
            raise BigfootError(
                f"{self.source}: its feature extractor has sampling_rate {json.dumps(rate)} and do_normalize "
                f"{json.dumps(normalizes)}: they have to be an integer, and true or false"
            )
        if rate != SAMPLE_RATE:
            raise BigfootError(f"{self.source} takes audio of {rate:,} Hz: Bigfoot shrinks models of {SAMPLE_RATE:,} Hz only")
        return normalizes

    def check(self, new_head: bool, language: str | None, settings: dict) -> None:
        """Raise BigfootError where `load` would, except for values that are not finite: no values are loaded."""
        model, report = self._read(language, settings, device_map="meta")
        self._fits(model, report, new_head or language is not None)

    def load(self, new_head: bool, language: str | None, settings: dict):
        """The model in float32, with `settings` in its config; `new_head`: whether its CTC head is drawn anew.

        `language`: the adapter and head of this language, for MMS. Raises BigfootError where a tensor doesn't fit.
        """
        import torch

        model, report = self._read(language, settings)
        if (folded := self._fits(model, report, new_head or language is not None)) is not None:
            model.base_model.encoder.pos_conv_embed.conv.weight = folded
        if new_head:
            # Also where the old head has the same size, since its outputs mean other letters.
            torch.nn.init.normal_(model.lm_head.weight, std=model.config.initializer_range)
            torch.nn.init.zeros_(model.lm_head.bias)
        weights.check_finite(model, self.source)
        return model

    def _read(self, language: str | None, settings: dict, **how):
        """(model, transformers' report of its tensors); on the device "meta" tensors have shapes and no values."""
        config = self.config()
        model_class = families.model_class(config["model_type"])
        keys = model_class.config_class
        if unknown := [key for key in settings if key not in keys().to_dict()]:
            raise BigfootError(f"teacher.config.{unknown[0]} is not a key of {keys.__name__}: check its spelling")
        try:
            with weights.quiet_transformers():
                model, report = model_class.from_pretrained(
                    self.source, revision=self.revision, ignore_mismatched_sizes=True, output_loading_info=True,
                    dtype="float32", **how, **settings,
                )  # fmt: skip
                if language:
                    model.load_adapter(language, revision=self.revision)
        except (AttributeError, IndexError) as error:  # a dtype that PyTorch doesn't have
            list(self._weight_files())  # or a broken index, which raises here
            raise BigfootError(f"{self.source}: config.json can't be used: {one_line(error)}") from None
        except unloadable() as error:
            list(self._weight_files())  # a broken index raises here
            self._raise(error)
        families.check_masks(model.config, f"teacher {self.source}")
        return model, report

    def _fits(self, model, report: dict, renewed: bool):
        """The weight of a positional convolution that was saved without its weight norm, else None; raises where tensors
        don't fit the model.
        """
        folded = None
        if any(name.endswith(weights.FOLDED) for name in report["unexpected_keys"]):
            folded = weights.find_tensor(self._weight_files(), weights.FOLDED)
        weights.check(model, report, folded, renewed, self.source)
        return folded

    def _weight_files(self) -> Iterator[Path]:
        """The files that transformers reads: the first kind that is there, as one file or several.

        Raises BigfootError for an index of another shape, on which transformers fails without its name.
        """
        for name in ("model.safetensors", "pytorch_model.bin"):
            if path := self._file(name):
                yield path
                return
            if (index := self.json(f"{name}.index.json")) is not None:
                if found := shapes.problem(index, _Index):
                    raise BigfootError(f"{self.source}: {name}.index.json{found}: fetch the model again")
                yield from filter(None, map(self._file, sorted(set(index["weight_map"].values()))))
                return

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

    python = (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, ZeroDivisionError)
    return (*python, StrictDataclassError)


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
