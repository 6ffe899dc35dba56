"""Quantize one model in one scheme: `quantize` writes a variant folder.

A variant folder is written whole or not at all, doesn't need what made it, and holds no pickle: safetensors, ONNX or
OpenVINO IR, beside variant.json, which describes how to run it and has the files' hashes (pipeline.recognition.seal).
"""

import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

from pipeline.common import host
from pipeline.common.files import sealed, write_json
from pipeline.models.description import describe
from pipeline.models.folder import FEW_BITS
from pipeline.quantize import decodings, examples
from pipeline.quantize.schemes import make, require_packages
from pipeline.recognition import seal
from pipeline.speech.corpus import Corpus

log = logging.getLogger(__name__)


def quantize(
    scheme: str, settings: Mapping | None, model_folder: str | Path, corpus: Corpus | None, out_folder: str | Path
) -> dict:
    """Make a variant of the model in `model_folder` and write it to `out_folder`; returns its variant.json.

    `corpus` is needed where the scheme calibrates or has a language model, and may be None otherwise. An existing `out_folder`
    is replaced, but not before the new variant is complete. Raises BigfootError for an unknown scheme or setting, a package
    that is not installed, or a model that is not a wav2vec 2.0 CTC recognizer.
    """
    require_packages(scheme, settings)
    chosen = make(scheme, settings)
    model_folder, out_folder = Path(model_folder), Path(out_folder)
    described = describe(model_folder)
    info = {
        "version": seal.VERSION,
        "variant": f"{model_folder.name}.{scheme}",
        "model": model_folder.name,
        "scheme": scheme,
        "kind": chosen.kind,
        "settings": chosen.model_dump(),
        "runtime": chosen.runtime,
        "file": chosen.file,
        "padding": chosen.padding,
        "precision": chosen.precision,
        "device": chosen.device,
        **described,
        **_writing(corpus),
        "versions": host.versions(chosen.packages),
    }
    half_done = out_folder.with_name(f".{out_folder.name}.partial")  # .dvcignore hides it from stages that read all variants
    shutil.rmtree(half_done, ignore_errors=True)
    half_done.mkdir(parents=True)
    try:
        info |= chosen.write(model_folder, corpus, half_done) or {}
        if (model_folder / FEW_BITS).is_file() and "few_bits" not in info:
            log.warning(
                "%s was trained in few bits, which only int4w-onnx and int4w-openvino keep: in %s it is another model than the "
                "one that dev measured", model_folder.name, scheme,
            )  # fmt: skip
        if model := decodings.of(scheme, settings):
            assert corpus is not None
            info |= {"decoding": decodings.write(model, corpus, half_done, info)}
        least = seal.receptive_field(info)
        if (example := examples.text(chosen.runtime, chosen.file, model is None, least)) is not None:
            (half_done / "example.py").write_text(example, encoding="utf-8")
        info = sealed(info | {"files": seal.seal(half_done)})
        write_json(half_done / "variant.json", info)
        if out_folder.exists():
            shutil.rmtree(out_folder)
        half_done.rename(out_folder)
    finally:
        shutil.rmtree(half_done, ignore_errors=True)
    return info


def _writing(corpus: Corpus | None) -> dict:
    """How the texts that the model learned from are written: what `bigfoot align` spells a text by."""
    return {key: corpus.rules[key] for key in ("language", "text") if key in corpus.rules} if corpus else {}
