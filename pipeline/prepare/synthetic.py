"""The quickstart's speech, synthesized by espeak-ng's voices: by default strings of 2 to 6 digits. SYNTHETIC.

It needs neither network nor data, and its bytes are the same every time. It can show that the machinery works; its figures
don't hold for human speech. Voices AND sentences of dev, gate and test never occur in train. So that the task is not trivial,
rate, pitch and level vary, half of the utterances have the echo of a simulated room, a third begin and end with a pause, as
recordings do, and noise of a random color lies 15 to 40 dB below the speech; all of it is seeded by the utterance. Train has
few voices, so two thirds of its utterances are spoken by a random variation of their voice, with formants moved, raised and
widened: another throat with the same manner of speech. Dev, half of which becomes gate, and test use the voices unchanged.

The voices are espeak-ng 1.52's variants of `en-us`, by name. Not used are the freak voices (whispers, robots, demons, croaks,
toys), the bare synthesizer tests (klatt*), and one whose breath noise can't be seeded (Reed). Voices that are near copies of
each other (such as f1, f2 and f5) are all in train.

espeak-ng is GPL-3 and optional (extra `synthetic`); only the worker processes load it. Its state outlives an utterance
(flutter, echo and parameters of the last voice), so the library is loaded again for each utterance: it costs 6 ms, and the
bytes don't depend on earlier utterances.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from pipeline.common.errors import BigfootError
from pipeline.params import SyntheticSource
from pipeline.prepare.raw import Raw, seeded, shuffled
from pipeline.speech import audio

ABOUT = (
    "SYNTHETIC speech: strings of {words[0]} to {words[1]} digits by espeak-ng's voices, with noise and rooms; whispering, "
    "robotic and other freak voices are left out. Voices and sentences of dev, gate and test never occur in train."
)
WORDS = "zero one two three four five six seven eight nine".split()
_VOICES = {
    "test": "Alicia antonio f4 grandpa m3 paul sandro shelby",
    "dev": "Annie ed grandma m6 pedro victor",
    "train": "adam Alex Andrea Andy anika announcer aunty belinda benjamin david Denis Diogo edward edward2 f1 f2 "
    "f3 f5 Gene Gene2 gustave Henrique Hugo iven iven2 iven3 iven4 Jacky john Lee linda m1 m2 m4 m5 m7 m8 "
    "marcelo Marco Mario max Michael michel miguel Mike mike2 Nguyen norbert pablo quincy rob robert "
    "steph steph2 steph3",
}
VOICES = {split: names.split() for split, names in _VOICES.items()}
RATE = (130, 190)  # words per minute
PITCH = (35, 66)  # of 0 to 99, 50 is the voice's own
PEAK_DBFS = (-20.0, -3.0)
SNR_DB = (15.0, 40.0)
NOISE_COLOR = (0.0, 2.0)  # power falls with frequency ** -color: 0 is white, 1 pink, 2 brown
VARIED = 2 / 3  # of train's utterances
TRACT = 0.12  # natural logarithm: up to so far in either direction for all formants together, then for each by itself
FORMANT = {"frequency": 0.2, "height": 0.5, "width": 0.4}
PAUSED = 1 / 3  # of all utterances
PAUSE_SECONDS = (0.0, 0.4)  # before and after
ROOM_SECONDS = (0.1, 0.4)  # until the echo has fallen by 60 dB
ROOM_LEVEL = (0.1, 0.4)  # energy of the echo relative to the direct sound


@dataclass(frozen=True)
class Spoken:
    """A sentence, the voice that speaks it (`varied`: it may be a variation), and the seed of all that is random in it."""

    rate = 22_050  # of espeak-ng
    files = ()
    text: str
    voice: str
    seed: int
    id: str
    varied: bool = False

    def make(self) -> np.ndarray:
        """float32 [T] within [-1, 1], 16 kHz."""
        rng = seeded(self.seed, self.id)
        description = _description(self.voice)
        if self.varied and rng.random() < VARIED:
            description = _variation(description, rng)
        speech = _spoken(self.text, description, rate=int(rng.integers(*RATE)), pitch=int(rng.integers(*PITCH)))
        if rng.random() < 0.5:
            speech = _in_room(speech, rng)
        if rng.random() < PAUSED:
            speech = np.pad(speech, np.round(rng.uniform(*PAUSE_SECONDS, 2) * audio.SAMPLE_RATE).astype(int))
        speech += _noise(speech, rng)
        return (speech * (10 ** (rng.uniform(*PEAK_DBFS) / 20) / np.abs(speech).max())).astype(np.float32)


def read(source: SyntheticSource, data: object = None) -> list[Raw]:
    """The sentences of all splits with their voices; `data` is not read. Raises BigfootError without espeak-ng."""
    if find_spec("espeakng_loader") is None:
        raise BigfootError("synthetic speech needs espeak-ng: install the extra, `pip install -e '.[synthetic]'`")
    sizes = {"test": source.test_utterances, "dev": source.dev_utterances, "train": source.train_utterances}
    taken: set[str] = set()
    raws: dict[str, list[Raw]] = {}
    for split, size in sizes.items():
        sentences = list(_sentences(size, source.words, source.seed, split, taken, distinct=split != "train"))
        taken.update(sentences)
        voices = shuffled(VOICES[split], source.seed, "voices", split)
        raws[split] = [
            Raw(name, split, Spoken(sentence, voice, source.seed, name, split == "train"), sentence, speaker=voice)
            for number, sentence in enumerate(sentences)
            for name, voice in [(f"{split}-{number:05d}", voices[number % len(voices)])]
        ]
    return raws["train"] + raws["dev"] + raws["test"]


def _sentences(size: int, words: tuple[int, int], seed: int, split: str, taken: set[str], distinct: bool) -> Iterator[str]:
    """`size` random sentences of words[0] to words[1] words, none of them in `taken`; with `distinct` none occurs twice."""
    rng = seeded(seed, "sentences", split)
    used: set[str] = set()
    while size:
        sentence = " ".join(rng.choice(WORDS, rng.integers(words[0], words[1] + 1)))
        if sentence in taken or (distinct and sentence in used):
            continue
        used.add(sentence)
        size -= 1
        yield sentence


def _in_room(speech: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The speech with a room's echo, which is exponentially decaying noise: [T] -> [T]."""
    length = round(rng.uniform(*ROOM_SECONDS) * audio.SAMPLE_RATE)
    echo = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / length)
    echo *= np.sqrt(rng.uniform(*ROOM_LEVEL) / np.sum(echo**2))
    echo[0] = 1.0
    size = _fast_size(speech.size + length)
    return np.fft.irfft(np.fft.rfft(speech, size) * np.fft.rfft(echo, size), size)[: speech.size]


def _noise(speech: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Noise of a random color, a random number of dB below the speech: [T] -> [T]."""
    size = _fast_size(speech.size)
    spectrum = np.fft.rfft(rng.standard_normal(size))
    spectrum *= np.maximum(np.arange(spectrum.size), size * 50 / audio.SAMPLE_RATE) ** (-rng.uniform(*NOISE_COLOR) / 2)
    noise = np.fft.irfft(spectrum, size)[: speech.size]
    level = np.sqrt(np.mean(speech**2) / np.mean(noise**2)) * 10 ** (-rng.uniform(*SNR_DB) / 20)
    return noise * level


def _fast_size(length: int) -> int:
    return 1 << (length - 1).bit_length()


def _description(voice: str) -> str:
    """espeak-ng's own file of a voice; raises BigfootError where there is none."""
    import espeakng_loader

    file = Path(espeakng_loader.get_data_path()) / "voices" / "!v" / voice
    if not file.is_file():
        raise BigfootError(f"espeak-ng has no voice en-us+{voice}: install espeakng-loader as pinned in requirements.lock")
    return file.read_text(encoding="utf-8", errors="replace")


def _variation(description: str, rng: np.random.Generator) -> str:
    """A voice's description with other formants: `formant NUMBER FREQUENCY HEIGHT WIDTH [HZ]`, in per cent of espeak's own."""
    lines = [line.split() for line in description.splitlines()]
    formants = {number: [100.0, 100.0, 100.0, 0.0] for number in range(9)}
    for line in lines:
        if line[:1] == ["formant"]:
            numbers = [float(number) for number in line[2:6]]
            formants[int(line[1])][: len(numbers)] = numbers
    tract = rng.uniform(-TRACT, TRACT)
    for numbers in formants.values():
        for place, (trait, most) in enumerate(FORMANT.items()):
            numbers[place] *= np.exp(rng.uniform(-most, most) + (tract if trait == "frequency" else 0.0))
    kept = [" ".join(line) for line in lines if line[:1] != ["formant"]]
    moved = [" ".join(["formant", str(number), *(str(round(n)) for n in numbers)]) for number, numbers in formants.items()]
    return "\n".join(kept + moved) + "\n"


@cache
def _home() -> tempfile.TemporaryDirectory:
    """A folder with espeak-ng's data and a place for one more voice; one per process, deleted when the process ends."""
    import espeakng_loader

    data = Path(espeakng_loader.get_data_path())
    folder = tempfile.TemporaryDirectory(prefix="voice-")
    (Path(folder.name) / "voices" / "!v").mkdir(parents=True)
    for entry in data.iterdir():
        if entry.name != "voices":
            (Path(folder.name) / entry.name).symlink_to(entry, target_is_directory=entry.is_dir())
    return folder


def _spoken(text: str, description: str, rate: int, pitch: int) -> np.ndarray:
    """American English in the voice described, from a newly loaded library: float64 [T] within [-1, 1], 16 kHz.

    The seed of the voice's own noise is the same for all utterances.
    """
    import _ctypes
    import ctypes

    import espeakng_loader

    pieces: list[np.ndarray] = []

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def receive(samples, count, events):
        if samples and count:
            pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    home = Path(_home().name)
    (home / "voices" / "!v" / "this").write_text(description, encoding="utf-8")
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    try:
        rate_hz = library.espeak_Initialize(2, 0, str(home).encode(), 0)  # 2: pass the samples to the callback
        library.espeak_SetSynthCallback(receive)
        library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        if rate_hz <= 0 or library.espeak_SetVoiceByName(b"en-us+this"):
            raise BigfootError("espeak-ng doesn't start: install espeakng-loader as pinned in requirements.lock")
        library.espeak_SetParameter(1, rate, 0)
        library.espeak_SetParameter(3, pitch, 0)
        terminated = text.encode() + b"\0"
        library.espeak_Synth(terminated, len(terminated), 0, 1, 0, 1, None, None)
        library.espeak_Synchronize()
        library.espeak_Terminate()
    finally:
        _ctypes.dlclose(library._handle)
    return audio.change_rate(np.concatenate(pieces) / 32768.0, rate_hz)
