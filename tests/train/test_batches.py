"""The order of batches is fixed by the seed; each epoch has every utterance once, alone or joined with others."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.train.batches import PAUSE_SECONDS, Batches

LENGTHS = st.lists(st.floats(0.1, 10.0), min_size=1, max_size=40)


@given(LENGTHS, st.floats(0.5, 30.0), st.integers(1, 60), st.integers(0, 5))
@settings(max_examples=60)
def test_batches_fit_their_seconds_and_an_epoch_has_every_utterance_once(durations, seconds, count, seed):
    batches = list(Batches(durations, seconds, count, seed))
    assert batches == list(Batches(durations, seconds, count, seed))
    assert len(batches) == count
    for batch in batches:
        longest = np.ceil(max(durations[row] for _, (row,) in batch) / 0.5) * 0.5  # batches are padded to half seconds
        assert len(batch) == 1 or longest * len(batch) <= seconds + 1e-9
    assert _are_complete(batches, len(durations))


@given(LENGTHS, st.floats(0.5, 30.0), st.integers(2, 5), st.integers(0, 5), st.data())
@settings(max_examples=60)
def test_joined_utterances_are_of_one_speaker_and_fit_the_batch(durations, seconds, join, seed, data):
    count = len(durations)
    speakers = np.array(data.draw(st.lists(st.integers(-1, 2), min_size=count, max_size=count)))
    batches = list(Batches(durations, seconds, 60, seed, join=join, speakers=speakers))
    assert batches == list(Batches(durations, seconds, 60, seed, join=join, speakers=speakers))
    for _, rows in (key for batch in batches for key in batch):
        assert len(rows) == 1 or {speakers[row] for row in rows} != {-1}
        assert len({speakers[row] for row in rows}) == 1 and len(rows) <= join
        total = sum(durations[row] for row in rows) + (len(rows) - 1) * PAUSE_SECONDS[1]
        assert len(rows) == 1 or total <= seconds + 1e-9
    assert _are_complete(batches, count)


def test_one_to_join_utterances_are_joined_and_others_in_the_next_epoch():
    stream = Batches([1.0] * 60, 6.0, 40, 3, join=3, speakers=np.arange(60) % 2)
    epochs = [{rows for batch in stream for at, rows in batch if at == epoch} for epoch in (0, 1)]
    assert {len(rows) for rows in epochs[0]} == {1, 2, 3}
    assert len(epochs[0] & epochs[1]) < 20


def _are_complete(batches: list, count: int) -> bool:
    epochs = {epoch for batch in batches for epoch, _ in batch}
    used = ((epoch, [row for batch in batches for at, rows in batch if at == epoch for row in rows]) for epoch in epochs)
    return all(sorted(rows) == list(range(count)) for epoch, rows in used if epoch != max(epochs))  # the last may be cut off
