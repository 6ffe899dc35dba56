"""Cuts of lhotse (.jsonl.gz), read by lhotse itself, which is not among Bigfoot's packages."""

from pathlib import Path

from pipeline.common.errors import BigfootError
from pipeline.prepare.segments import SLACK
from pipeline.prepare.tables import Rows


def rows(path: Path) -> Rows:
    """The cuts in order, with our names for columns.

    Raises BigfootError, with the cut's name, for a cut that is more than a stretch of one audio file with one text.
    """
    try:
        import lhotse
    except ImportError:
        raise BigfootError(f"{path} is read by lhotse, which is not installed: `pip install 'bigfoot-asr[lhotse]'`") from None
    if not path.is_file():
        raise BigfootError(f"{path} is missing: name the manifest of each split in corpus.source")
    try:
        for cut in lhotse.CutSet.from_jsonl_lazy(path):
            where = f"{path}, cut {getattr(cut, 'id', '?')}"
            if reason := _unusable(cut, lhotse):
                raise BigfootError(f"{where} {reason}")
            yield where, _row(cut)
    except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise BigfootError(f"{path} can't be read as lhotse's cuts: {error!r}") from None


def _unusable(cut, lhotse) -> str:
    if not isinstance(cut, lhotse.MonoCut) or cut.recording is None:
        return "is not a MonoCut with a recording: save its audio as files of their own"
    if len(cut.recording.sources) != 1 or cut.recording.sources[0].type != "file":
        return "is not of one audio file: save its audio as a file"
    if cut.recording.transforms:
        return "has transforms, which only lhotse can apply: save its audio as a file"
    if cut.recording.num_channels != 1:
        return "is one channel of several: save each channel as a file"
    if len(cut.supervisions) > 1:
        return "has several supervisions: write `cuts.trim_to_supervisions()`"
    for said in cut.supervisions:
        if max(abs(said.start), abs(said.end - cut.duration)) > SLACK:
            return (
                f"has a text of {said.start:.2f} to {said.end:.2f} s, which is not all of its {cut.duration:.2f} s: "
                "write `cuts.trim_to_supervisions()`"
            )
    return ""


def _row(cut) -> dict:
    """A cut that is all of its recording has no offset."""
    said = cut.supervisions[0] if cut.supervisions else None
    is_whole = cut.start == 0 and abs(cut.duration - cut.recording.duration) < 1e-3
    return {
        "id": cut.id, "audio": cut.recording.sources[0].source, "recording": cut.recording_id, "duration": cut.duration,
        "offset": None if is_whole else cut.start, "text": said.text or "" if said else "",
        "speaker": said.speaker or "" if said else "",
    }  # fmt: skip
