"""A table of recordings and their texts as a corpus with one test set and nothing else, for `bigfoot evaluate`.

Decision: only what can't be heard or has no text is left out, and each of these is named. Length, level and text are no reason:
whoever asks for the errors on these recordings wants all of them counted.
"""

from dataclasses import asdict
from pathlib import Path

from pipeline.common import engine
from pipeline.common.errors import BigfootError
from pipeline.common.numbers import counted
from pipeline.common.progress import Progress
from pipeline.params import Checks, Corpus, FolderSource, Limits
from pipeline.prepare import folder, parts
from pipeline.speech.corpus import Dropped, split_folder
from pipeline.speech.scoring import Scoring
from pipeline.speech.shards import SplitWriter, Utterance

SPLIT = "test"
ALL_LENGTHS = Limits(min_seconds=0, max_seconds=86_400)
KEPT = Checks(longer_than_stated="report", silent="report", too_short="report", too_long="report")


def prepare(table: Path, scored_as: Scoring, out: Path) -> list[Dropped]:
    """Write the split SPLIT of a corpus into `out`; returns the utterances that were left out.

    `table` is as for the source `folder` (docs/recordings.md). Raises BigfootError where it can't be read, or no utterance is
    left.
    """
    source = FolderSource(kind="folder", manifest=table.name)
    corpus = Corpus(
        name="own", data="none", license="unknown", language=scored_as.language, objective=scored_as.objective,
        source=source, text=scored_as.rules, limits=ALL_LENGTHS, checks=KEPT,
    )  # fmt: skip
    raws = folder.one_table(source, table.parent, SPLIT)
    scratch = out / "parts"
    scratch.mkdir(parents=True)
    rules = {"language": corpus.language, "objective": corpus.objective, "text": asdict(corpus.text)}
    writer, dropped = SplitWriter(split_folder(out, SPLIT)), list[Dropped]()
    with Progress("prepare", len(raws), "utterances checked") as progress:
        for path in engine.mapped(parts.make, parts.planned(raws, corpus, scratch), 0 if len(raws) <= parts.PART else None):
            rows = parts.read(path)
            for row, flac in zip(rows, parts.audio(path), strict=True):
                if row.is_kept:
                    writer.add(Utterance(row.id, row.text, row.speaker, row.seconds, row.recording), flac)
                else:
                    dropped.append(Dropped(id=row.id, split=SPLIT, check=row.because.check, why=row.because.why))
            progress.advance(len(rows))
    if len(dropped) == len(raws):
        why = f", the first because {dropped[0]['why']}" if dropped else ""
        raise BigfootError(f"{table}: none of its {counted(len(raws), 'utterance')} can be scored{why}")
    writer.close(rules)
    return dropped
