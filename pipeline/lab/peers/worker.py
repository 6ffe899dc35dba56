"""The worker process of a peer: the benchmark's, which can also make peers, time a given batch and tell texts."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.benchmark import worker

if TYPE_CHECKING:
    from pipeline.recognition.recognizer import Recognizer


class PeerWorker(worker.Worker):
    """The commands beside those of the benchmark's worker."""

    def load(self, folder: Path, threads: int) -> "Recognizer":
        """What `open` opens: a peer's folder, or a variant of Bigfoot's."""
        if (folder / "variant.json").is_file():  # without PyTorch, which the peers' module would not import either
            return super().load(folder, threads)
        from pipeline.lab.peers import known

        return known.load(folder, threads)

    def prepare(self, peer: str, model: str, out: str) -> dict:
        """Make the folder of a peer."""
        from pipeline.lab.peers import known

        known.prepare(peer, Path(model), Path(out))
        return {}

    def together(self, utterances: list[int]) -> dict:
        """Seconds for one batch of these utterances, after one untimed."""
        batch = [self.audios[index] for index in utterances]
        self.recognizer.transcribe_batch(batch)
        began = time.perf_counter()
        self.recognizer.transcribe_batch(batch)
        return {"seconds": time.perf_counter() - began}

    def hear(self, files: list[str]) -> dict:
        """The text of each file."""
        from pipeline.speech import audio

        return {"texts": [self.recognizer.transcribe(audio.read(file)) for file in files]}


if __name__ == "__main__":
    worker.main(PeerWorker())
