"""Draws train, dev and test from utterances that have no splits. Half of dev becomes gate later (`whole`).

Decision: where a speaker goes depends on the seed and the speaker's name alone, so that new speakers move no other. The price:
the shares are those of speakers, and only about right where these are few.
"""

from collections import Counter
from dataclasses import replace
from hashlib import blake2b

from pipeline.common.errors import BigfootError
from pipeline.params import Shares
from pipeline.prepare.raw import Raw

SPLITS = ("train", "dev", "test")


def draw(raws: list[Raw], shares: Shares) -> tuple[list[Raw], str]:
    """The utterances in the order of SPLITS, and a sentence that says by what they were drawn and how many there are.

    One whose speaker is unknown is drawn by its recording, and without that by itself. Raises BigfootError where a split stays
    empty.
    """
    units = [_unit(raw) for raw in raws]
    splits = {unit: _split(unit, shares, shares.seed) for unit in set(units)}
    if raws and set(splits.values()) != set(SPLITS):
        raise BigfootError(_empty(splits, shares))
    drawn = [replace(raw, split=splits[unit]) for raw, unit in zip(raws, units, strict=True)]
    return sorted(drawn, key=lambda raw: SPLITS.index(raw.split)), _note(units, splits, shares)


def _unit(raw: Raw) -> tuple[str, str]:
    """(speaker, recording or utterance; its name)."""
    if raw.speaker:
        return "speaker", raw.speaker
    return ("recording", raw.recording) if raw.recording else ("utterance", raw.id)


def _split(unit: tuple[str, str], shares: Shares, seed: int) -> str:
    digest = blake2b(f"{seed}/{unit[0]}/{unit[1]}".encode(), digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64  # uniform in [0, 1)
    return "dev" if place < shares.dev else "test" if place < shares.dev + shares.test else "train"


def _note(units: list[tuple[str, str]], splits: dict[tuple[str, str], str], shares: Shares) -> str:
    """Splits drawn by speaker (seed 7): train 40 speakers with 400 utterances, ..."""
    said = []
    for split in SPLITS:
        kinds = Counter(kind for (kind, _), where in splits.items() if where == split)
        counts = " and ".join(f"{count:,} {kind}{'s' * (count != 1)}" for kind, count in sorted(kinds.items(), reverse=True))
        utterances = sum(splits[unit] == split for unit in units)
        said.append(f"{split} {counts}" + (f" with {utterances:,} utterances" if set(kinds) != {"utterance"} else ""))
    kinds = Counter(kind for kind, _ in units)
    by = " or, where it is unknown, by ".join(sorted(kinds, key=("speaker", "recording", "utterance").index))
    return f"Splits drawn by {by} (seed {shares.seed}): {', '.join(said)}."


def _empty(splits: dict[tuple[str, str], str], shares: Shares) -> str:
    """The message where a split has nothing, with a seed that mends it if there is one."""
    empty = [split for split in SPLITS if split not in splits.values()]
    kinds = Counter(kind for kind, _ in splits)
    counts = ", ".join(f"{count:,} {kind}{'s' * (count != 1)}" for kind, count in kinds.items())
    if len(splits) < len(SPLITS):
        return f"corpus.source.split can't fill train, dev and test from {counts}: name a table of each, or a split column"
    mending = (seed for seed in range(10_000) if {_split(unit, shares, seed) for unit in splits} == set(SPLITS))
    seed = next(mending, None) if len(splits) < 1_000 else None
    advice = f"corpus.source.split.seed: {seed} fills all three" if seed is not None else "give it a larger share"
    return f"corpus.source.split leaves {' and '.join(empty)} empty ({counts} in all): {advice}"
