"""Cuts long recordings without text at their pauses: the split `unlabelled` may hold whole calls or lectures.

silero-vad finds where someone speaks; neighboring stretches of speech are joined as long as they fit into
`corpus.limits.max_seconds`. What lies between is left out, so silence teaches nothing. A recording in which nobody speaks
stays whole, and is dropped as too long. With `corpus.channels: split` each channel is a recording of its own.
"""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pipeline.params import Limits
from pipeline.prepare.raw import Raw
from pipeline.speech import audio, media
from pipeline.speech.audio import Channel
from pipeline.speech.corpus import UNLABELLED


def cut(raw: Raw, limits: Limits, channel: Channel | Literal["split"] = "mix") -> list[Raw]:
    """The utterance itself, or the pieces of a long recording without text."""
    if raw.split != UNLABELLED or not isinstance(raw.audio, Path):
        return [raw]
    if channel == "split":
        return [piece for each in _channels(raw, raw.audio) for piece in cut(each, limits, each.channel or 0)]
    if raw.offset is not None:
        return [raw]
    if _states_to_be_short(raw.audio, limits.max_seconds):
        return [raw]
    try:
        samples = media.read(raw.audio, channel)
    except (audio.AudioError, IndexError):  # no such channel
        return [raw]  # its checks name the fault
    if len(samples) <= limits.max_seconds * audio.SAMPLE_RATE:
        return [raw]
    recording = raw.recording or raw.id
    return [
        replace(raw, id=f"{raw.id}-{number:04d}", offset=start, duration=end - start, recording=recording)
        for number, (start, end) in enumerate(_joined(_speech(samples, limits.max_seconds), limits.max_seconds))
    ] or [raw]


def _channels(raw: Raw, path: Path) -> list[Raw]:
    """An utterance of each channel; the utterance itself where it names one, or its file has one or can't be read."""
    try:
        with media.opened(path) as sound:
            count = 1 if raw.channel is not None else sound.channels
    except audio.AudioError:
        return [raw]
    if count == 1:
        return [raw]
    recording = raw.recording or raw.id
    return [replace(raw, id=f"{raw.id}-ch{n + 1}", channel=n, recording=recording) for n in range(count)]


def _states_to_be_short(path: Path, most_seconds: float) -> bool:
    """Whether the header alone tells that a recording needs no cut, so that it is decoded once, by its checks.

    libsndfile never reads more than it states. Of FFmpeg's formats nothing is promised, and they are decoded here too.
    """
    try:
        with audio.opened(path) as sound:
            return sound.frames is not None and sound.frames / sound.rate < most_seconds
    except audio.AudioError:
        return False


def _speech(samples, most_seconds: float) -> list[tuple[float, float]]:
    """Where someone speaks: (start, end) in seconds, none longer than `most_seconds`."""
    import torch
    from silero_vad import get_speech_timestamps

    found = get_speech_timestamps(
        torch.from_numpy(samples), _model(), sampling_rate=audio.SAMPLE_RATE, max_speech_duration_s=most_seconds
    )
    return [(stretch["start"] / audio.SAMPLE_RATE, stretch["end"] / audio.SAMPLE_RATE) for stretch in found]


@lru_cache(maxsize=1)
def _model():
    from silero_vad import load_silero_vad

    return load_silero_vad(onnx=True)


def _joined(stretches: list[tuple[float, float]], most_seconds: float) -> list[tuple[float, float]]:
    """Neighbors joined, each result as long as `most_seconds` allows."""
    joined: list[tuple[float, float]] = []
    for start, end in stretches:
        if joined and end - joined[-1][0] <= most_seconds:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
    return joined
