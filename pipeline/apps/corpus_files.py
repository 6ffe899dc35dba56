"""`bigfoot export-corpus`: a corpus as FLAC files with JSONL manifests, which the folder source reads (gate: gate.jsonl)."""

import json
from pathlib import Path

from pipeline.common.errors import BigfootError
from pipeline.common.files import new_folder
from pipeline.common.progress import Progress
from pipeline.speech.corpus import Corpus


def export(corpus: Corpus, out: Path) -> int:
    """Write SPLIT.jsonl and audio/SPLIT/ID.flac for each split into `out`; returns the number of utterances.

    Raises BigfootError where `out` is a file or a folder that is not empty, or can't be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BigfootError(f"{out} is not an empty folder: name another one")
    count = 0
    with (
        new_folder(out),
        Progress("export", sum(len(corpus.utterances(split)) for split in corpus.splits), "utterances") as progress,
    ):
        for split in corpus.splits:
            folder = out / "audio" / split
            folder.mkdir(parents=True)
            with (out / f"{split}.jsonl").open("w", encoding="utf-8") as manifest:
                for utterance in corpus.utterances(split):
                    path = folder / f"{utterance.id}.flac"
                    path.write_bytes(corpus.flac(utterance))
                    row: dict[str, object] = {
                        "audio": path.relative_to(out).as_posix(),
                        "text": utterance.text,
                        "speaker": utterance.speaker,
                    }
                    row |= {"duration": utterance.duration, "recording": utterance.recording}
                    manifest.write(json.dumps(row, ensure_ascii=False) + "\n")
                    progress.advance(1)
                    count += 1
    return count
