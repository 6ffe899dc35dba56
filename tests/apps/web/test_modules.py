"""The page's modules give what Bigfoot's own code gives, in Node: decoding, scoring, resampling; listening stays bounded."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import soxr

from pipeline.apps.transcription.words import WordDecoder
from pipeline.apps.web.build import PAGE
from pipeline.evaluate.wer import align
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech.scoring import count_errors
from pipeline.speech.text import greedy
from tests.tiny import TEXTS

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="no node here")

HOUR = """
// A model that hears each word as a stretch of one loudness: k/100 for word k.
let longest = 0;
const contexts = new Set();
const hear = async (samples, first) => {
  longest = Math.max(longest, samples.length / 16000);
  contexts.add(first);
  const words = [];
  for (let frame = first; frame < samples.length / 320; frame++) {
    const word = Math.round(100 * samples[frame * 320]);
    if (word && words.at(-1)?.last === frame - 1 && words.at(-1).text === word) words.at(-1).last = frame;
    else if (word) words.push({ text: word, first: frame, last: frame });
  }
  return { frames: Math.floor(samples.length / 320), words };
};
const live = new Live(320, hear);
const heard = [];
let buffer = 0;
const block = new Float32Array(3200);
for (let at = 0; at < input.seconds * 16000; at += block.length) {
  for (let index = 0; index < block.length; index++) {
    const part = Math.floor((at + index) / 3200);
    const word = Math.floor(part / 2);
    const speaks = part % 2 === 0 && word % input.phrase < input.phrase - input.pause;
    block[index] = speaks ? (1 + (word % 90)) / 100 : 0.00001;
  }
  live.push(block);
  buffer = Math.max(buffer, live.seconds);
  if (live.due) heard.push(...(await live.pass()).final);
}
heard.push(...(await live.pass(true)).final);
return { heard: heard.map(({ text }) => text), longest, buffer, contexts: [...contexts] };
"""


def node(module: str, names: str, script: str, content: object):
    """What the body of an async function returns, given `input` and these exports of a module."""
    code = f"""import {{ {names} }} from {json.dumps((PAGE / module).as_uri())};
    import {{ readFileSync }} from "node:fs";
    const input = JSON.parse(readFileSync(0));
    console.log(JSON.stringify(await (async () => {{ {script} }})()));"""
    command = ["node", "--input-type=module", "--eval", code]
    done = subprocess.run(command, input=json.dumps(content), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_words_and_confidences_are_those_of_transcribe():
    rng = np.random.default_rng(3)
    frames = rng.integers(0, len(TEXTS), 400).repeat(rng.integers(1, 3, 400))
    frames[rng.random(len(frames)) < 0.3] = 0
    logits = rng.standard_normal((len(frames), len(TEXTS))).astype(np.float32)
    logits[np.arange(len(frames)), frames] += 4
    info = {"vocab": TEXTS, "blank": 0, "conv_strides": [320], "sample_rate": 16000}
    decoder = WordDecoder(info)
    expected = decoder.decode(logits) + decoder.end()
    script = """const dims = [1, input.frames, input.tokens.length];
    return words({ data: Float32Array.from(input.data), dims }, input.tokens, 0);"""
    found = node("decode.js", "words", script, {"data": logits.ravel().tolist(), "frames": len(logits), "tokens": TEXTS})
    assert [word["text"] for word in found] == [word.word for word in expected] == greedy(logits.argmax(-1), TEXTS, 0).split()
    assert [word["confidence"] for word in found] == pytest.approx([word.confidence for word in expected], abs=1e-4)
    assert [word["first"] * 0.02 for word in found] == pytest.approx([word.start for word in expected])


def test_errors_are_as_many_as_evaluate_counts():
    rng = np.random.default_rng(4)
    pairs = [[rng.choice(["one", "two", "three"], size).tolist() for size in rng.integers(1, 8, 2)] for _ in range(200)]
    script = "return input.map(([a, b]) => align(a, b)).map((steps) => [errors(steps), steps]);"
    found = node("score.js", "align, errors", script, pairs)
    for (reference, hypothesis), (wrong, steps) in zip(pairs, found, strict=True):
        assert wrong == count_errors(" ".join(reference), " ".join(hypothesis)).errors
        assert [missed for _, missed, _ in steps if missed] == reference
        assert [extra for *_, extra in steps if extra] == hypothesis
        assert {kind for kind, *_ in steps} <= {"equal", "substitute", "delete", "insert"}
    script = "return align(['one', 'two', 'two'], ['one', 'two']);"
    assert node("score.js", "align", script, None) == list(map(list, align("one two two", "one two")))


@pytest.mark.parametrize(("hop", "strides", "kernels"), [(320, [5, 64], [10, 7]), (640, [10, 64], [20, 7])])
def test_the_windows_of_a_recording_are_those_of_the_recognizer(hop, strides, kernels):
    info = {"vocab": TEXTS, "blank": 0, "normalize": False, "padding": "mask", "sample_rate": 16_000}
    recognizer = Recognizer(info | {"conv_kernels": kernels, "conv_strides": strides}, None)
    field = recognizer._receptive_field
    sizes = [480_001, 78 * 16_000, 7_200 * 16_000, *np.random.default_rng(0).integers(480_001, 10_000_000, 50).tolist()]
    found = node("decode.js", "windows", "return input.sizes.map((size) => windows(size, input.hop, input.field));",
                 {"sizes": [*sizes, 100, 480_000], "hop": hop, "field": field})  # fmt: skip
    assert found[:-2] == [[list(window) for window in recognizer._windows(size)] for size in sizes]
    assert [len(windows) for windows in found[-2:]] == [1, 1]


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("Don’t, stop!", ["don't", "stop"]),
        ("twenty-one", ["twenty", "one"]),
        (" ?! 7", []),
        ("Café", ["caf"]),
        ("'hello' co\u00adoperate", ["hello", "cooperate"]),
    ],
)
def test_typed_words_are_written_as_the_model_writes(typed, written):
    assert node("score.js", "asWritten", "return asWritten(...input);", [typed, TEXTS]) == written


@pytest.mark.parametrize(
    ("language", "alphabet", "typed", "written"),
    [
        ("fr", "acefm\u0301", "Caf\u00e9", "cafe\u0301"),  # corpus.text.form: NFD
        ("fr", "acefm\u00e9", "Cafe\u0301", "caf\u00e9"),
        ("tr", "\u0131i\u015fk", "I\u015eIK", "\u0131\u015f\u0131k"),
        ("de", "STRA\u1e9eE", "Stra\u00dfe", "STRA\u1e9eE"),
    ],
)
def test_typed_words_have_the_models_accents_and_its_languages_case(language, alphabet, typed, written):
    found = node("score.js", "asWritten", "return asWritten(...input);", [typed, list(alphabet), language])
    assert found == [written]


@pytest.mark.parametrize("rate", [48_000, 44_100, 16_000, 8_000])
def test_a_microphones_samples_in_blocks_become_what_soxr_makes_of_the_whole(rate):
    times = np.arange(rate) / rate
    sweep = (0.3 * np.sin(2 * np.pi * (100 * times + 1500 * times**2))).astype(np.float32)  # 100 to 3,100 Hz
    if rate > 16_000:
        sweep += (0.3 * np.sin(2 * np.pi * 9_500 * times)).astype(np.float32)  # what 16 kHz can't hold
    script = """const resampler = new Resampler(input.rate, 16000); const found = [];
    for (let at = 0; at < input.samples.length; at += 1234)
      found.push(...resampler.push(Float32Array.from(input.samples.slice(at, at + 1234))));
    return found;"""
    found = np.array(node("resample.js", "Resampler", script, {"rate": rate, "samples": sweep.tolist()}))
    expected = soxr.resample(sweep, rate, 16_000)
    assert 0.98 * 16_000 < len(found) <= 16_000
    inner = slice(400, len(found) - 400)
    assert np.abs(found[inner] - expected[: len(found)][inner]).max() < 0.003


@pytest.mark.parametrize(
    ("pause", "phrase"), [(5, 15), (0, 1)], ids=["with a pause after every ten words", "without any pause"]
)
def test_an_hour_of_speech_is_heard_word_by_word_in_a_bounded_window(pause, phrase):
    found = node("live.js", "Live", HOUR, {"seconds": 3600, "pause": pause, "phrase": phrase})
    words = [1 + word % 90 for word in range(9000) if word % phrase < phrase - pause]
    assert found["heard"] == words
    assert found["longest"] < 23 and found["buffer"] < 23
    assert found["contexts"] == ([0] if pause else [0, 100])  # 2 s of what was said before, where there was no pause


GAPLESS = """
// A model that writes no gaps: each loud stretch is a letter, all in one word.
const letter = (samples, frame) => Math.round(100 * samples[frame * 320]);
const hear = async (samples, first) => {
  const frames = Math.floor(samples.length / 320);
  const letters = [];
  for (let frame = first; frame < frames; frame++)
    if (letter(samples, frame) && !(frame && letter(samples, frame - 1))) letters.push(letter(samples, frame));
  return { frames, words: letters.length ? [{ text: letters.join(" "), first, last: frames - 1 }] : [] };
};
const live = new Live(320, hear);
const heard = [];
for (let part = 0; part < input.letters; part++) {
  live.push(new Float32Array(3200).fill((1 + (part % 90)) / 100));
  live.push(new Float32Array(3200).fill(0.00001));
  if (live.due) heard.push(...(await live.pass()).final);
}
heard.push(...(await live.pass(true)).final);
return heard.map(({ text }) => text).join(" ").split(" ").map(Number).filter((one) => one);
"""


def test_a_model_that_writes_no_gaps_loses_no_letter():
    heard = node("live.js", "Live", GAPLESS, {"letters": 400})
    assert heard == [1 + part % 90 for part in range(400)]


def test_words_that_follow_a_cut_begin_with_a_new_letter():
    """A letter that goes on from before the cut was written there."""
    best = [1, 1, 0, 1, 1, 2, 2]  # of tokens "", "a", "b"
    logits = {"data": [9.0 * (token == likely) for likely in best for token in range(3)], "dims": [1, len(best), 3]}
    found = node(
        "decode.js",
        "words",
        "return input.map(([l, first]) => words({ ...l, data: Float32Array.from(l.data) }, ['', 'a', 'b'], 0, first));",
        [[logits, at] for at in (0, 1, 4)],
    )
    assert [[word["text"] for word in each] for each in found] == [["aab"], ["ab"], ["b"]]


def test_silence_and_the_noise_of_a_room_are_never_recognized():
    script = """let passes = 0;
    const live = new Live(320, async () => { passes++; return { frames: 0, words: [] }; });
    for (let block = 0; block < 600; block++) {
      live.push(Float32Array.from({ length: 1600 }, () => 0.01 * (Math.random() - 0.5)));
      if (live.due) await live.pass();
    }
    return { passes, buffer: live.seconds };"""
    found = node("live.js", "Live", script, None)
    assert found["passes"] == 0 and found["buffer"] < 1
