"""scores/VARIANT.json as compare reads it: of this variant, of this corpus, and of each utterance's own text.

Decision: a comparison of files that don't belong together looks like any other, so each utterance of a score is held
against the corpus's manifest, id by id and text by text, and its figures are counted again. What both would share, texts
that slipped by an utterance or two before they came into the corpus, is seen by the teacher hearing the neighbor's text.
"""

import json
from collections import Counter
from pathlib import Path

from pipeline.common.errors import BigfootError
from pipeline.evaluate.wer import align
from pipeline.speech.corpus import Utterance

NEEDED = ("utterances", "words", "wer", "cer", "wer_low", "wer_high", "cer_low", "cer_high", "unit", "hypotheses")
NEEDED_EACH = ("id", "speaker", "recording", "duration", "reference", "hypothesis", "errors", "words", "snr_db")
LOST = 0.5  # of an utterance's words wrong, before its neighbors' texts are tried


def read(path: Path, variant: str, slug: str, heard: dict[str, list[Utterance]]) -> dict:
    """A score, once it is found to be of `variant` and of what the sets hold: {set: its utterances}.

    Raises BigfootError where it is absent, broken, of an older Bigfoot, of another variant or of another corpus.
    """
    again = f"run `dvc repro evaluate@{slug}`"
    try:
        score = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BigfootError(f"{path} is missing: {again}") from None
    except ValueError:
        raise BigfootError(f"{path} is no valid JSON: {_forced(again)}") from None
    if score.get("variant") != variant:
        raise BigfootError(f"{path} is of {score.get('variant')}, not of {variant}: {_forced(again)}")
    if score.get("first_test") not in heard or set(score["sets"]) != set(heard):
        raise BigfootError(f"{path} is of another corpus (sets {', '.join(score['sets'])}, not {', '.join(heard)}): {again}")
    for name, one in score["sets"].items():
        lacking = [key for key in NEEDED if key not in one]
        lacking = lacking or [key for key in NEEDED_EACH if any(key not in row for row in one["hypotheses"])]
        if lacking:
            raise BigfootError(f"{path} lacks {', '.join(lacking)}, it was made by an older Bigfoot: {again}")
        _check_utterances(f"{path}, {name}", one["hypotheses"], heard[name], again)
        errors, words = (sum(row[key] for row in one["hypotheses"]) for key in ("errors", "words"))
        if (one["words"], one["utterances"]) != (words, len(heard[name])) or abs(one["wer"] * words - errors) > 1e-6:
            raise BigfootError(f"{path}, {name}: its WER is not that of its utterances, it was edited: {_forced(again)}")
    return score


def _check_utterances(where: str, rows: list[dict], heard: list[Utterance], again: str) -> None:
    """Raise BigfootError unless the rows are those utterances, each once, in order, with their own texts."""
    found, wanted = [row["id"] for row in rows], [utterance.id for utterance in heard]
    twice = [one for one, count in Counter(found).items() if count > 1 and wanted.count(one) == 1]
    missing, strange = [one for one in wanted if one not in set(found)], [one for one in found if one not in set(wanted)]
    for what, ids in (("has twice", twice), ("lacks", missing), ("has, unlike the corpus,", strange)):
        if ids:
            count = f"{len(ids)} utterances" if len(ids) > 1 else "one utterance"
            raise BigfootError(f"{where} {what} {count}, such as {ids[0]}, so it is of another corpus: {again}")
    if found != wanted:
        raise BigfootError(f"{where} has its utterances in another order than the corpus: {_forced(again)}")
    others = [utterance.id for row, utterance in zip(rows, heard, strict=True) if row["reference"] != utterance.text]
    if others:
        raise BigfootError(
            f"{where}: {len(others)} of {len(rows)} references are not the corpus's texts, such as {others[0]}'s: they are "
            f"shifted, or of another version of the corpus: {again}"
        )


def refuse_shifted(where: str, rows: list[dict]) -> None:
    """Raise BigfootError where utterances are heard as the text of another one nearby, rather than as their own.

    Asked of those with more than half of their words wrong, where they are at least 3 and a tenth of all: from anywhere in a
    set to anywhere, the texts may have slipped by one or two. What fits must get at most half as many words wrong.
    """
    lost = [at for at, row in enumerate(rows) if row["errors"] > LOST * row["words"]]
    if len(lost) < max(3, len(rows) / 10):
        return
    wrong = sum(rows[at]["errors"] for at in lost)
    slipped = sum(
        min(_errors(rows[near]["reference"], rows[at]["hypothesis"]) for near in _nearby(at, len(rows))) for at in lost
    )
    if slipped <= wrong / 2:
        raise BigfootError(
            f"{where}: {len(lost)} of {len(rows)} utterances are heard as the text of a neighbor ({slipped} words wrong), not "
            f"as their own ({wrong} wrong): the corpus's texts are shifted, mend its source"
        )


def _nearby(at: int, count: int) -> set[int]:
    """The utterances one and two places away, the first following the last."""
    return {(at + step) % count for step in (-2, -1, 1, 2)} - {at}


def _errors(reference: str, hypothesis: str) -> int:
    return sum(kind != "equal" for kind, *_ in align(reference, hypothesis))


def _forced(again: str) -> str:
    return again.replace("dvc repro", "dvc repro --force")
