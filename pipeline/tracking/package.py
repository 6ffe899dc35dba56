"""A variant's folder as an MLflow model (models-from-code, no pickle), with signature, example and requirements given."""

import io
import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np

from pipeline.common import host
from pipeline.recognition import decoding, gpu, seal
from pipeline.speech import audio
from pipeline.tracking.closure import closure


def example() -> bytes:
    """Half a second of a tone as a WAV file, which shows the form of the input."""
    import soundfile

    time, file = np.arange(audio.SAMPLE_RATE // 2) / audio.SAMPLE_RATE, io.BytesIO()
    soundfile.write(file, audio.pcm16(0.1 * np.sin(2 * np.pi * 440 * time)), audio.SAMPLE_RATE, format="WAV")
    return file.getvalue()


def save(variant: Path, runtime: str, out: Path) -> None:
    """Write a variant's folder, with the code that runs it, as an MLflow model into the new folder `out`. Runs no inference.

    Raises BigfootError where the variant's files are not as they were made.
    """
    info = seal.read(variant)
    if "decoding" in info:
        decoding.require_installed()
    import mlflow
    import pandas
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    signature = mlflow.models.ModelSignature(
        inputs=Schema([ColSpec(DataType.binary, "audio")]),
        outputs=Schema([ColSpec(DataType.string, "text"), ColSpec(DataType.double, "duration")]),
        params=ParamSchema([ParamSpec("hot_words", DataType.string, [], shape=(-1,))]),
    )
    carried = closure(runtime, searches="decoding" in info)
    logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)  # it reports each check of the example
    with tempfile.TemporaryDirectory(prefix="bigfoot-") as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it advises inferring the signature from the example
        entry, package = carried.write(Path(scratch))
        mlflow.pyfunc.save_model(
            str(out),
            python_model=str(entry),
            artifacts={"variant": str(variant)},
            code_paths=[str(package)],
            signature=signature,
            input_example=pandas.DataFrame({"audio": [example()]}),
            pip_requirements=[_requirement(name, info) for name in carried.libraries],
        )


def _requirement(library: str, info: dict) -> str:
    """The build of onnxruntime for GPUs has versions of its own."""
    if gpu.is_needed(info) and library == "onnxruntime":
        return "onnxruntime-gpu"
    version = host.installed(library)  # a peer's may be missing where its variant was only pulled
    return f"{library}=={version.partition('+')[0]}" if version else library
