"""variant.json, which describes a variant: what it holds, its only reader, and the seal of the variant in it.

Decision: since version 2 it has a hash of itself and the sums of all other files, so no letter of a variant changes unnoticed.
Scoring, timing, exporting and serving compute the sums (about one second per gigabyte), so that no figure and no copy is of
other weights than its name states; opening computes them once (`pipeline.common.sums`). Other files in the folder are ignored.
A variant of an older version, or made by others, opens without what it lacks, after its description was checked by itself.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Literal, Required, TypedDict

from pipeline.common import shapes, sums
from pipeline.common.errors import BigfootError
from pipeline.common.files import SEAL, again

VERSION = 2
SAMPLE_RATE = 16_000  # of all models that Bigfoot makes
WIDEST = 10_000  # of a beam, or a weight in it
LONGEST = 1000  # samples or frames, of a kernel or stride: wav2vec 2.0's longest kernel has 10
REMEDY = "copy the variant again, or quantize again"
RUNS = ("runtime", "file", "vocab", "blank", "normalize", "padding", "sample_rate", "conv_kernels", "conv_strides")
Kind = Literal["own", "peer", "gpu"]  # of a scheme: Bigfoot's own, another tool's way, or for a GPU


class Sum(TypedDict):
    """The size and content of a file; see `pipeline.common.sums`."""

    bytes: int
    sha256: str


class Decoding(TypedDict):
    """How a variant's beam search decodes: see `pipeline.recognition.decoding`. `file`: its language model's."""

    file: str
    alpha: float
    beta: float
    beam: int


class Info(TypedDict, total=False):
    """The keys that are read. `vocab`: what each token writes; `precision`: of operations outside int8.

    `device`: what it runs on, an NVIDIA GPU is "cuda"; absent, it is the CPU. `decoding`: absent where the decoding is greedy.
    """

    version: int
    variant: str
    model: str
    scheme: str
    kind: Kind
    runtime: Required[str]
    file: Required[str]
    padding: Literal["mask", "exact"]
    precision: str
    device: Literal["cpu", "cuda"]
    vocab: list[str]
    word_delimiter: str | None  # of the first version alone
    blank: int
    normalize: bool
    sample_rate: int
    conv_kernels: list[int]
    conv_strides: list[int]
    decoding: Decoding
    params: int | None
    macs_per_second: float | None
    language: str
    text: dict
    files: dict[str, Sum]
    sha256: str


def read_info(folder: Path, command: str | None = None) -> dict:
    """variant.json of a variant's folder, which `command` makes.

    Raises BigfootError where there is none, or where it is broken, was changed, or is of a newer Bigfoot.
    """
    path = folder / "variant.json"
    info = shapes.read(path, Info, command)
    if info.get("version", 1) > VERSION:
        raise BigfootError(f"{path} has version {info['version']}, newer than this Bigfoot's {VERSION}: update Bigfoot")
    if info.get("version", 1) == VERSION and not (SEAL in info and info.get("files")):
        raise BigfootError(f"{path} has lost its seal: {again(command)}")
    decoding = info.get("decoding", {})
    for name in filter(None, (info["file"], decoding.get("file"), *info.get("files", {}))):
        if "\0" in name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise BigfootError(f"{path} names {name!r}, which is not in its folder: {again(command)}")
    return info


def require_runnable(folder: Path, info: dict) -> None:
    """Raise BigfootError where variant.json doesn't describe how to run the variant."""
    path = folder / "variant.json"
    for key in RUNS:
        if key not in info:
            raise BigfootError(f"{path} has no {key}: quantize the model again")
    kernels, strides, decoding = info["conv_kernels"], info["conv_strides"], info.get("decoding", {})
    problems = {
        f"blank is {info['blank']}, of {len(info['vocab'])} tokens": not 0 <= info["blank"] < len(info["vocab"]),
        f"sample_rate is {info['sample_rate']}, not {SAMPLE_RATE}": info["sample_rate"] != SAMPLE_RATE,
        "conv_kernels and conv_strides are not those of convolutions": len(kernels) != len(strides)
        or not all(1 <= length <= LONGEST for length in (*kernels, *strides)),
        f"decoding has a beam or a weight beyond {WIDEST}": not all(
            0 <= decoding.get(key, 1) <= WIDEST for key in ("alpha", "beta", "beam")
        )
        or decoding.get("beam") == 0,
    }
    for problem, is_so in problems.items():
        if is_so:
            raise BigfootError(f"{path}: {problem}: {again(None)}")


def receptive_field(info: Mapping) -> int:
    """The fewest samples that give a frame."""
    samples = 1
    for kernel, stride in zip(reversed(info["conv_kernels"]), reversed(info["conv_strides"]), strict=True):
        samples = (samples - 1) * stride + kernel
    return samples


def seal(folder: Path) -> dict[str, dict]:
    """The sums of all files in a folder."""
    return sums.of(folder, (file for file in folder.rglob("*") if file.is_file()))


def read(folder: Path) -> dict:
    """variant.json of a folder, after its files' sums were computed and compared with it; BigfootError where they differ."""
    info = read_info(folder)
    check(folder, info)
    return info


def check(folder: Path, info: Mapping, remembered: bool = False) -> None:
    """Raise BigfootError where a file's content differs from `info` (variant.json); `remembered` is that of `sums.check`."""
    sums.check(folder, info.get("files", {}), "the variant", REMEDY, remembered)


def mark(info: Mapping) -> str | None:
    """A short hash of the variant, which differs between variants; None without a seal."""
    if SEAL in info:
        return info[SEAL][:16]
    files = info.get("files")
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:16] if files else None
