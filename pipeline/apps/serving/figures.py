"""What `/metrics` tells, for Prometheus. Each service has a registry of its own, so that a process may have several."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

FILE_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
CHUNK_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Figures:
    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.answers = Counter("bigfoot_answers", "Answers by path and status", ["path", "status"], registry=registry)
        self.audio = Counter("bigfoot_audio_seconds", "Seconds of audio recognized", ["kind"], registry=registry)
        self.streams = Gauge("bigfoot_streams", "Live streams that are open", registry=registry)
        self.files = Gauge("bigfoot_files", "Files that are recognized or wait for it", registry=registry)
        self.file_seconds = Histogram(
            "bigfoot_file_seconds", "From a file's arrival to its answer", buckets=FILE_SECONDS, registry=registry
        )
        self.chunk_seconds = Histogram(
            "bigfoot_chunk_seconds", "From the arrival of live audio to its text", buckets=CHUNK_SECONDS, registry=registry
        )

    def text(self) -> bytes:
        return generate_latest(self._registry)
