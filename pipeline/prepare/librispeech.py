"""LibriSpeech (OpenSLR 12, CC-BY-4.0) in its own layout: SPLIT/SPEAKER/CHAPTER/*.flac with one *.trans.txt per chapter.

A run never downloads: DVC has to know the data before the stage that reads it. Fetching is a separate command,

    python -m pipeline.prepare.librispeech data/librispeech train-clean-100 dev-clean test-clean test-other
    dvc add data/librispeech

which checks every archive's SHA-256 before unpacking it (with pooch). A split is either complete or absent, and one that
exists is not fetched again; an archive that was cut off is fetched from its start.
6.3 GB for train-clean-100, 0.3 GB for each of dev and test.
"""

import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.common.errors import Away, BigfootError
from pipeline.common.files import read_text
from pipeline.common.numbers import counted
from pipeline.params import LibriSpeechSource
from pipeline.prepare.raw import Raw
from pipeline.speech.corpus import GATE, UNLABELLED

ABOUT = "LibriSpeech: read English audio books, open vocabulary, speakers of dev and test unknown from training."
ADDRESS = "https://www.openslr.org/resources/12"
SHA256 = {
    "dev-clean": "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3",
    "dev-other": "12661c48e8c3fe1de2c1caa4c3e135193bfb1811584f11f569dd12645aa84365",
    "test-clean": "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23",
    "test-other": "d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29",
    "train-clean-100": "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2",
    "train-clean-360": "146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf",
    "train-other-500": "ddb22f27f96ec163645d53215559df6aa36515f26e01dd70798188350adcb6d2",
}


def read(source: LibriSpeechSource, data: Path) -> list[Raw]:
    """The utterances of all splits, from `data` or its folder LibriSpeech; each test split becomes a test set with its name.

    Raises BigfootError where a split, a chapter's transcripts or a recording's line in them are absent.
    """
    root = data / "LibriSpeech" if (data / "LibriSpeech").is_dir() else data
    raws: list[Raw] = []
    labelled = [(source.train, "train"), (source.dev, "dev"), (source.gate, GATE), *(([name], name) for name in source.test)]
    for names, split in (*labelled, (source.unlabelled, UNLABELLED)):
        for name in names:
            if not (root / name).is_dir():
                raise BigfootError(
                    f"{root} has no split {name}: fetch it with `python -m pipeline.prepare.librispeech {data} {name}`"
                )
            raws += _utterances(root / name, split)
    return raws


def fetch(names: list[str], folder: Path, address: str = ADDRESS, sha256: dict[str, str] = SHA256) -> None:
    """Download and unpack missing splits to `folder`/LibriSpeech/NAME.

    Raises BigfootError where a name is unknown, the server refuses, or the download is not what was published; Away where
    the network or the server is down.
    """
    for name in names:
        if name not in sha256:
            raise BigfootError(f"LibriSpeech has no split {name}: it has {', '.join(sha256)}")
    for name in names:
        target = folder / "LibriSpeech" / name
        if target.is_dir():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            archive = Path(work) / f"{name}.tar.gz"
            _download(f"{address}/{name}.tar.gz", archive, sha256[name])
            with tarfile.open(archive) as tar:
                if hasattr(tarfile, "data_filter"):
                    tar.extractall(work, filter="data")
                else:  # before Python 3.11.4; the archive is known by its sum
                    tar.extractall(work)
            (Path(work) / "LibriSpeech" / name).rename(target)


def _utterances(folder: Path, split: str) -> list[Raw]:
    raws = list(_transcribed(folder, split))
    if lacking := {*folder.glob("*/*/*.flac")} - {raw.audio for raw in raws}:
        first = min(lacking).relative_to(folder)
        raise BigfootError(
            f"{folder}: {counted(len(lacking), 'recording')} without a transcript, the first is {first}: fetch it again"
        )
    return raws


def _transcribed(folder: Path, split: str) -> Iterator[Raw]:
    transcripts = sorted(folder.glob("*/*/*.trans.txt"))
    if not transcripts:
        raise BigfootError(f"{folder} holds no SPEAKER/CHAPTER/*.trans.txt: fetch it again")
    for path in transcripts:
        for number, line in enumerate(read_text(path, None).splitlines(), start=1):
            name, _, text = line.strip().partition(" ")
            if name.count("-") != 2:
                raise BigfootError(f"{path}, line {number} is not 'SPEAKER-CHAPTER-NUMBER TEXT': fetch it again")
            speaker, chapter, _ = name.split("-")
            recording = f"{speaker}-{chapter}"
            said = "" if split == UNLABELLED else text
            yield Raw(name, split, path.parent / f"{name}.flac", said, speaker=speaker, recording=recording)


def _download(url: str, path: Path, sha256: str) -> None:
    """Fetch `url` to the new file `path`, with a progress bar on a terminal; errors as of `fetch`."""
    import pooch
    import requests

    pooch.get_logger().setLevel("WARNING")  # its messages name the temporary file
    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), chunk_size=1 << 20)
    try:
        pooch.retrieve(url, f"sha256:{sha256}", path.name, path.parent, downloader=downloader)
    except OSError as error:  # all of requests' errors are OSErrors too
        is_away = isinstance(error, requests.RequestException) and (error.response is None or error.response.status_code >= 500)
        reason = " ".join(str(error).split())[:200]
        kind = Away if is_away else BigfootError
        raise kind(f"{url} can't be fetched ({reason}): check the network connection, or unpack it by hand") from None
    except ValueError:  # so pooch reports a wrong checksum
        raise BigfootError(f"{url} arrived damaged (its SHA-256 is not the published one): fetch it again") from None


def main(*arguments: str) -> None:
    """FOLDER SPLIT...: fetch the splits into the folder."""
    if len(arguments) < 2:
        raise BigfootError(f"usage: python -m pipeline.prepare.librispeech FOLDER SPLIT...; splits: {', '.join(SHA256)}")
    folder, *names = arguments
    fetch(names, Path(folder))
    print(f"{', '.join(names)} are in {folder}; now: dvc add {folder}")


if __name__ == "__main__":
    from pipeline.common.command import stage_main

    stage_main(main)
