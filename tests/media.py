"""Files that libsndfile can't read, made by PyAV."""

from pathlib import Path

import av
import numpy as np

CODECS = {  # suffix: format, codec
    ".m4a": ("ipod", "aac"),
    ".mp4": ("mp4", "aac"),
    ".webm": ("webm", "libopus"),
    ".mkv": ("matroska", "pcm_s16le"),
    ".wma": ("asf", "wmav2"),
    ".amr": ("amr", "libopencore_amrnb"),
    ".3gp": ("3gp", "libopencore_amrnb"),
    ".aac": ("adts", "aac"),
}
MP3_IN_WAV = {".wav": ("wav", "mp3")}  # which libsndfile reads


def media(path: Path, samples: np.ndarray, rate: int, picture: bool = False, **options: str) -> Path:
    """Samples, float32 [T] or [T, channels], as a file in the format of its suffix; with a picture it is a video."""
    kind, codec = (CODECS | MP3_IN_WAV)[path.suffix]
    columns = samples.reshape(len(samples), -1)
    layout = {1: "mono", 2: "stereo"}[columns.shape[1]]
    with av.open(str(path), "w", format=kind, options=options) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        if codec == "wmav2":
            stream.bit_rate = 64_000
        if picture:
            video = container.add_stream("mpeg4", rate=25, width=32, height=32, pix_fmt="yuv420p")
            for _ in range(round(25 * len(samples) / rate)):
                container.mux(video.encode(av.VideoFrame(32, 32, "yuv420p")))
            container.mux(video.encode(None))
        if not stream.codec_context.is_open:
            stream.codec_context.open()
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(columns.T, dtype=np.float32), "fltp", layout)
        frame.sample_rate = rate
        size = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(stream.codec_context.format.name, layout, rate, frame_size=size)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path
