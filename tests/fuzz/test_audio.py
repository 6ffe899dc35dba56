"""Damaged and lying audio, in all formats, by all ways in which audio is read."""

import io
from pathlib import Path

import numpy as np
import soundfile
from hypothesis import strategies as st

from pipeline.apps.transcription import files
from pipeline.prepare import segments
from pipeline.recognition import uploads
from pipeline.speech import audio, media
from tests import media as other
from tests.fuzz import counts, fuzz, mutated
from tests.recordings import tone

SPARE_MB = 1_000  # ten minutes of stereo at 48 kHz, which any file may hold, as float, mixed and resampled
KINDS = [
    ("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "ULAW"), ("WAV", "IMA_ADPCM"), ("WAVEX", "PCM_24"), ("FLAC", "PCM_16"),
    ("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("CAF", "PCM_16"),
    ("W64", "PCM_16"), ("RF64", "PCM_16"), ("NIST", "PCM_16"),
]  # fmt: skip


def encoded(kind: str, subtype: str, channels: int) -> bytes:
    content, samples = io.BytesIO(), np.stack([tone(0.2, seed) for seed in range(channels)], axis=1)
    soundfile.write(content, samples, 16_000, subtype, format=kind)
    return content.getvalue()


@counts(10_000, "audio of 15 formats and codecs, mutated, in five ways of reading")
def test_audio_is_read_or_refused_and_no_library_prints(count, tmp_path, capfd, record_property):
    originals = [encoded(*kind, channels) for kind in KINDS for channels in (1, 2)]
    originals += [other.media(tmp_path / f"a{suffix}", tone(0.2), 16_000).read_bytes() for suffix in (".m4a", ".webm", ".wma")]
    path = tmp_path / "recording"

    def check(content: bytes) -> None:
        path.write_bytes(content)
        ways = [
            lambda: uploads.decode_upload(content, uploads.Limits()),
            lambda: media.read(content, "mix"),
            lambda: sum(map(len, files.measured(files.Recording("a", path, Path("a")), "mix", keep=1000)[1])),
            lambda: segments.decode(path, 0.05, 0.1),
            lambda: segments.decode(path, 0.0, None),
        ]
        refusals = []
        for way in ways:
            try:
                way()
            except audio.BigfootError as error:
                assert len(str(error).splitlines()) == 1
                refusals.append(error)
        if refusals:
            raise refusals[0]

    fuzz(count, mutated(st.sampled_from(originals)) | st.binary(max_size=200), check, SPARE_MB, record_property)
    assert not capfd.readouterr().err.splitlines()[:5]
