"""A variant's folder as an MLflow model (models-from-code, no pickle), with signature, example and requirements given."""

import io
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np

from pipeline.speech import audio

REQUIREMENTS = {
    "torch": ("torch", "torchao", "transformers", "safetensors"),
    "onnxruntime": ("onnxruntime",),
    "openvino": ("openvino",),
    "ctranslate2": ("ctranslate2",),
}
ALWAYS = ("mlflow", "pandas", "numpy", "soundfile", "soxr", "pydantic")


def example() -> bytes:
    """Half a second of a tone as a WAV file: the form of what is taken, no speech."""
    import soundfile

    time, file = np.arange(audio.SAMPLE_RATE // 2) / audio.SAMPLE_RATE, io.BytesIO()
    soundfile.write(file, audio.pcm16(0.1 * np.sin(2 * np.pi * 440 * time)), audio.SAMPLE_RATE, format="WAV")
    return file.getvalue()


def save(variant: Path, runtime: str, out: Path) -> None:
    """Write a variant's folder, this package beside it, as an MLflow model into the new folder `out`. Runs no inference."""
    import mlflow
    import pandas
    from mlflow.types import ColSpec, DataType, Schema

    package = Path(__file__).parents[1]
    signature = mlflow.models.ModelSignature(
        inputs=Schema([ColSpec(DataType.binary, "audio")]),
        outputs=Schema([ColSpec(DataType.string, "text"), ColSpec(DataType.double, "duration")]),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it would rather infer the signature from the example
        mlflow.pyfunc.save_model(
            str(out),
            python_model=str(Path(__file__).parent / "pyfunc.py"),
            artifacts={"variant": str(variant)},
            code_paths=[str(package)],
            signature=signature,
            input_example=pandas.DataFrame({"audio": [example()]}),
            pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in ALWAYS + REQUIREMENTS[runtime]],
        )
