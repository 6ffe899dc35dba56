"""The teacher's frame logits on disk, once for all students: index.json and files of SHARD utterances each.

Decision: the logits of every training utterance are stored in half precision, so that no student needs the teacher in memory.
This costs disk: 2 bytes x alphabet x 50 frames per second, or 11 MB per hour for 30 characters; for large vocabularies see
`top_k`. It also forbids changes of timing in a student's audio (noise and SpecAugment are fine): for training at other speeds,
the teacher's logits at those speeds are computed and stored too.

The teacher's feature-encoder output can be stored in the same way, for students that keep the encoder unchanged: they then
train without computing it. This takes much more disk: 2 bytes x channels x 50 frames per second, or 184 MB per hour for 512
channels, three times the corpus's FLAC.

Utterances are in the order of the corpus: train at the first speed, train at the next, ..., then unlabelled likewise. So the
place of one follows from its split, row and speed, and a process holds nothing per utterance. A file is opened for each read,
since a training that kept hundreds of them mapped would run out of file descriptors; that takes 0.1 ms.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from pipeline.common import sums
from pipeline.common.errors import BigfootError
from pipeline.common.files import forced, read_json, sealed, write_json
from pipeline.common.objects import read_object
from pipeline.distill.logits import top_k
from pipeline.distill.logits.speeds import SPLITS, AtSpeed
from pipeline.speech.corpus import Corpus
from pipeline.speech.shards import Utterance

STORE_VERSION = 4
SHARD = 512  # utterances per file: what a kill can cost a process at most
COMMAND = "dvc repro teacher_logits"  # what makes a store


@dataclass(frozen=True)
class Index:
    """index.json. `channels`: the width of the stored feature-encoder output, None where it isn't stored.

    `shard`: utterances per file; `corpus`: the digest of each split that it was made of; `digest`: SHA-256 of all files.
    """

    version: int
    vocabulary: int
    channels: int | None
    speeds: list[float]
    shard: int
    corpus: dict[str, str]
    digest: str


class LogitsStore:
    """The outputs of the teacher for each training utterance of a corpus, at each of `speeds`, see AtSpeeds.

    Raises BigfootError where the store is missing, damaged, of another version or of another corpus.

    >>> store.logits(utterance).shape        # e.g. (181, 14): 3.6 s of audio, 14 tokens
    """

    def __init__(self, folder: Path, corpus: Corpus):
        path = folder / "index.json"
        version = read_json(path, COMMAND).get("version")
        if version != STORE_VERSION:
            raise BigfootError(f"{path} has version {version}, not {STORE_VERSION}: run `{forced(COMMAND)}`")
        self.folder, self.index = folder, read_object(path, Index, COMMAND)
        if self.index.shard < 1:
            raise BigfootError(f"{path}: shard is {self.index.shard}, not a number of utterances: run `{forced(COMMAND)}`")
        if self.index.corpus != digests(corpus):
            raise BigfootError(f"{folder} has the logits of another corpus than {corpus.folder}: run `{COMMAND}`")
        self.speeds, self.channels = self.index.speeds, self.index.channels
        self._rows = {split: len(corpus.utterances(split)) for split in SPLITS}

    def check(self) -> None:
        """Raise BigfootError where a file's content is not the one that was written; a whole store is read for it only once."""
        utterances = len(self.speeds) * sum(self._rows.values())
        names = (shard_path(self.folder, shard).name for shard in range(-(-utterances // self.index.shard)))
        sums.check_all(self.folder, names, self.index.digest, "the stored logits", f"run `{forced(COMMAND)}`")

    def logits(self, utterance: Utterance) -> np.ndarray:
        """float16 [frames, vocabulary]: the logits of one utterance, or log-probabilities where `top_k` are stored."""
        return top_k.unpacked(self._read(utterance), self.index.vocabulary)

    def features(self, utterance: Utterance) -> np.ndarray:
        """float16 [frames, channels]: the feature encoder's output for one utterance."""
        return self._read(utterance, features=True)["features"]

    def _read(self, utterance: Utterance, features: bool = False) -> dict[str, np.ndarray]:
        """The frames of one utterance: its features, or what is stored of its logits."""
        shard, place = divmod(self._place(utterance), self.index.shard)
        path = shard_path(self.folder, shard)
        try:
            with safe_open(path, "numpy") as file:
                first, end = file.get_slice("bounds")[place : place + 2].tolist()
                names = {"features"} if features else set(file.keys()) - {"bounds", "features"}
                return {name: file.get_slice(name)[first:end] for name in names}
        except FileNotFoundError:
            raise BigfootError(f"{path} is missing: run `dvc checkout`, or `{forced(COMMAND)}`") from None
        except (SafetensorError, OSError, ValueError) as error:
            raise BigfootError(f"{path} is damaged ({' '.join(str(error).split())}): run `{forced(COMMAND)}`") from None

    def _place(self, utterance: Utterance) -> int:
        """An utterance's number in the store; see this module's docstring for the order.

        Raises BigfootError where the store lacks the utterance's speed.
        """
        before = len(self.speeds) * sum(self._rows[split] for split in SPLITS[: SPLITS.index(utterance.split)])
        speed = utterance.speed if isinstance(utterance, AtSpeed) else 1.0
        if speed not in self.speeds:
            raise BigfootError(f"{self.folder / 'index.json'} has no logits at speed {speed}: run `{forced(COMMAND)}`")
        return before + self.speeds.index(speed) * self._rows[utterance.split] + utterance.row


def write_index(folder: Path, index: Index) -> None:
    write_json(folder / "index.json", sealed(asdict(index)))


def shard_path(folder: Path, number: int) -> Path:
    """A file of a store: "bounds", int32 [utterances + 1], and, a row per frame, what `top_k.packed` gives, and "features"."""
    return folder / f"{number:05}.safetensors"


def digests(corpus: Corpus) -> dict[str, str]:
    """What the audio and text of the stored splits are known by."""
    return {split: corpus.utterances(split).info["digest"] for split in SPLITS}
