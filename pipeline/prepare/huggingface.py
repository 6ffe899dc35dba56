"""Any Hugging Face dataset with an audio and a text column: from the hub, or from the folder in corpus.data.

A local one is either what `save_to_disk` wrote or whatever `load_dataset` reads from a folder (Parquet, audiofolder).
Audio is taken as the bytes in the table and decoded by our own reader, in the workers: the datasets library would need
torchcodec, and would decode in this one process. Rows are read from memory-mapped files as they are needed. A class label is
its name, not its number.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.common.errors import Away, BigfootError, is_away
from pipeline.params import HuggingFaceSource
from pipeline.prepare.columns import string
from pipeline.prepare.raw import Raw
from pipeline.speech.corpus import GATE, UNLABELLED

ABOUT = "Speech from a Hugging Face dataset."


@dataclass(frozen=True)
class Rows:
    """The utterances of all splits, read one by one; their number is known beforehand."""

    source: HuggingFaceSource
    tables: dict

    def __len__(self) -> int:
        return sum(map(len, self.tables.values()))

    def __iter__(self) -> Iterator[Raw]:
        for split, table in self.tables.items():
            for number, row in enumerate(table):
                yield self._raw(split, number, row)

    def _raw(self, split: str, number: int, row: dict) -> Raw:
        source = self.source
        where = f"{split} row {number}"
        cell = row[_name("audio", source)] or {}
        audio = cell.get("bytes") or Path(cell.get("path") or f"{where}, which has no audio")
        names = ("text", "speaker", "recording")
        given = {_name(name, source): self._said(split, row, _name(name, source)) for name in names}
        if (text := given[_name("text", source)]) is not None and not isinstance(text, str):
            raise BigfootError(f"{where}: text is not a string but {text!r:.60}: see corpus.source.columns.text")
        text, speaker, recording = (string(where, given, name, source.columns) for name in names)
        return Raw(f"{split}-{number:07d}", split, audio, text, speaker, recording=recording)

    def _said(self, split: str, row: dict, column: str) -> object:
        """A cell; of a class label its name, None for -1, which stands for no label."""
        from datasets import ClassLabel

        kind, value = self.tables[split].features.get(column), row.get(column)
        if value is None or not isinstance(kind, ClassLabel):
            return value
        return kind.int2str(value) if value >= 0 else None


def read(source: HuggingFaceSource, data: Path) -> Rows:
    """The utterances of all splits, each read when it is needed.

    Raises BigfootError where the dataset can't be loaded, or lacks a split or a column; Away where the hub can't be reached.
    """
    if source.path is None and not data.is_dir():
        raise BigfootError(f"{data} is missing: put the dataset there, or name one of the hub in corpus.source.path")
    wanted = {"train": source.train, "dev": source.dev} | ({GATE: source.gate} if source.gate else {}) | source.test
    tables = {split: _checked(_load(source, data, name), source, name) for split, name in wanted.items()}
    if source.unlabelled:
        table = _load(source, data, source.unlabelled)
        tables[UNLABELLED] = _checked(table, source, source.unlabelled, required=("audio",))
    return Rows(source, tables)


def _load(source: HuggingFaceSource, data: Path, split: str):
    """One split as a datasets.Dataset."""
    import datasets

    where = source.path or str(data)
    try:
        if source.path is None and _is_saved(data):
            whole = datasets.load_from_disk(where)
            if not isinstance(whole, datasets.DatasetDict):
                raise BigfootError(f"{where} is one table without splits: save a DatasetDict with train, dev and test")
            if split not in whole:
                raise BigfootError(f"{where} has no split {split}: it has {', '.join(map(str, whole))}, see corpus.source")
            return whole[split]
        return datasets.load_dataset(where, source.name, split=split, revision=source.revision)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        if source.path and is_away(error):
            raise Away(f"the hub can't be reached for the dataset {where}: check the network connection") from None
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BigfootError(f"the dataset {where}, split {split}, can't be loaded: {reason}") from None


def _is_saved(folder: Path) -> bool:
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()


def _checked(table, source: HuggingFaceSource, split: str, required: Collection[str] = ("audio", "text")):
    """The table with its audio as bytes; raises BigfootError where a column is missing, or that of audio holds none."""
    import datasets
    import pyarrow

    for name in (*required, *(source.columns if "text" in required else ())):
        if _name(name, source) not in table.column_names:
            raise BigfootError(
                f"the dataset's split {split} has no column {_name(name, source)}: it has {', '.join(table.column_names)}, "
                f"say which is the {name} in corpus.source.columns"
            )
    names = dict.fromkeys(_name(name, source) for name in (*required, "speaker", "recording"))
    table = table.select_columns([name for name in names if name in table.column_names])
    column = _name("audio", source)
    try:
        return table.cast_column(column, datasets.Audio(decode=False))
    except (TypeError, ValueError, NotImplementedError, ImportError, pyarrow.ArrowException):
        kind = " ".join(str(table.features[column]).split())[:80]
        raise BigfootError(
            f"column {column} of the dataset's split {split} is not audio but {kind}: cast it to datasets.Audio, or say which "
            "column is the audio in corpus.source.columns"
        ) from None


def _name(ours: str, source: HuggingFaceSource) -> str:
    """The dataset's name of a column of ours."""
    return source.columns[ours].name if ours in source.columns else ours
