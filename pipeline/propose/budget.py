"""What `bigfoot propose` is asked for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """At most so many megabytes, and milliseconds for `length` seconds of audio, in a runtime with so many threads."""

    max_mb: float
    max_ms: float
    length: float = 3.0
    threads: int = 1
    runtime: str = "any"
    max_wer_rise: float | None = None  # points; None: gate.max_rise as it is

    def __str__(self) -> str:
        return f"{self.max_mb:g} MB and {self.max_ms:g} ms for {self.length:g} s of audio with {self.threads} thread(s)"
