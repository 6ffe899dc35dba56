"""Subtitles that players accept: times well formed, cues in order and apart, every word in one, lines that fit."""

import json
import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pipeline.apps.transcription.formats import Transcript, as_json, clock, cues, srt, txt, vtt
from pipeline.apps.transcription.words import Letter, Word

WORDS = [Word("one", 0.5, 0.8, 0.9), Word("<two>", 1.0, 1.3, 0.5), Word("three", 3661.2, 3661.4, 0.7)]
TRANSCRIPT = Transcript("a.wav", 3662.0, WORDS, "half.int8-onnx")


@st.composite
def spoken(draw) -> list[Word]:
    """Words one after the other, with gaps as they come, on frames of 20 ms."""
    words, frame = [], 0
    for word in draw(st.lists(st.text("abc&<>-", min_size=1, max_size=60), max_size=40)):
        first = frame + draw(st.integers(0, 60))
        frame = first + draw(st.integers(1, 120))
        words.append(Word(word, first * 0.02, frame * 0.02, 0.5))
    return words


@given(st.integers(0, 10**9), st.sampled_from(",."))
def test_a_time_can_be_read_back(milliseconds, point):
    form = rf"(\d\d+):([0-5]\d):([0-5]\d){re.escape(point)}(\d\d\d)"
    hours, minutes, seconds, rest = re.fullmatch(form, clock(milliseconds, point)).groups()
    assert ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1000 + int(rest) == milliseconds


@given(spoken())
def test_cues_keep_every_word_in_order_and_apart_and_within_their_bounds(words):
    subtitles = list(cues(words, words[-1].end if words else 0.0))

    assert " ".join(line for cue in subtitles for line in cue.lines) == " ".join(word.word for word in words)
    assert all(cue.start < cue.end for cue in subtitles)
    assert all(before.end <= after.start for before, after in zip(subtitles, subtitles[1:], strict=False))
    for cue in subtitles:
        is_one_word = len(cue.lines) == 1 and " " not in cue.lines[0]
        assert is_one_word or (len(cue.lines) <= 2 and max(map(len, cue.lines)) <= 42 and cue.end - cue.start <= 7000)


@given(spoken())
def test_a_pause_ends_a_cue_and_nothing_shorter_does_while_there_is_room(words):
    words = [Word("ab", word.start, word.end, 0.5) for word in words[:6] if word.end - word.start <= 0.2]
    starts = [round(1000 * word.start) for word in words]
    pauses = [n for n in range(1, len(words)) if words[n].start - words[n - 1].end > 0.6]
    if not words or words[-1].end - words[0].start > 7:
        return
    assert [cue.start for cue in cues(words, 100.0)] == [starts[0], *(starts[n] for n in pauses)]


def test_a_short_word_stays_for_a_second_unless_the_next_one_comes_or_the_recording_ends():
    words = [Word("a", 0.0, 0.1, 1.0), Word("b", 0.8, 0.9, 1.0), Word("c", 3.0, 3.1, 1.0)]
    assert [(cue.start, cue.end) for cue in cues(words, 3.5)] == [(0, 800), (800, 1800), (3000, 3500)]


def test_subrip_is_as_players_read_it():
    expected = "1\n00:00:00,500 --> 00:00:01,500\none <two>\n\n2\n01:01:01,200 --> 01:01:02,000\nthree\n"
    assert srt(TRANSCRIPT) == expected


def test_webvtt_has_its_header_and_escapes():
    expected = "WEBVTT\n\n00:00:00.500 --> 00:00:01.500\none &lt;two&gt;\n\n01:01:01.200 --> 01:01:02.000\nthree\n"
    assert vtt(TRANSCRIPT) == expected


@given(
    st.lists(st.tuples(st.sampled_from(["语", "a", "ก", "ั"]), st.integers(0, 60), st.integers(1, 40)), min_size=1, max_size=150)
)
def test_a_script_without_gaps_is_cut_between_letters_by_the_same_rules(spoken):
    letters, frame = [], 0
    for text, gap, frames in spoken:
        gap, frames = (0, 1) if text == "ั" else (gap, frames)
        letters.append(Letter(text, (frame + gap) * 0.02, (frame + gap + frames) * 0.02))
        frame += gap + frames
    whole = Word("".join(letter.text for letter in letters), letters[0].start, letters[-1].end, 0.5, letters=tuple(letters))
    subtitles = list(cues([whole, replace(whole, start=whole.end + 1, end=whole.end + 2, word="b", letters=())], 1e4))

    lines = [cue.lines for cue in subtitles]
    assert "".join(line for cue in lines for line in cue) == f"{whole.word}b"
    assert all(before.end <= after.start for before, after in zip(subtitles, subtitles[1:], strict=False))
    columns = sum(2 if letter.text == "语" else 1 for letter in letters)
    if whole.end - whole.start <= 7 and columns <= 84:
        assert lines == [[whole.word], ["b"]]
        return
    marks = sum(letter.text == "ั" for letter in letters)
    for (line,), cue in zip(lines[:-1], subtitles[:-1], strict=True):
        assert sum(2 if letter == "语" else 1 for letter in line) <= 42 + marks
        assert cue.end - cue.start <= 7000 + 20 * marks
    assert not any(line.startswith("ั") for (line,) in lines[1:])


def test_a_pause_ends_a_cue_within_a_long_word():
    times = [*range(10), *range(13, 51)]  # seconds * 5
    letters = tuple(Letter("语", time / 5, time / 5 + 0.1) for time in times)
    assert [len(cue.lines[0]) for cue in cues([Word("语" * 48, 0.0, 10.1, 0.5, letters=letters)], 11.0)] == [10, 21, 17]


CALL = [
    Word("hello", 0.5, 0.9, 0.9, 1), Word("there", 1.0, 1.3, 0.9, 1),
    Word("hi", 1.2, 1.4, 0.9, 2), Word("<you>", 2.5, 2.9, 0.9, 1),
]  # fmt: skip


def test_channels_are_named_and_merged_by_time_in_every_format():
    transcript = Transcript("call.wav", 4.0, CALL, "x")
    assert transcript.text == "hello there hi <you>"
    assert txt(transcript) == "Channel 1: hello there\nChannel 2: hi\nChannel 1: <you>\n"
    assert [(word["word"], word["channel"]) for word in json.loads(as_json(transcript))["words"]] == [
        ("hello", 1), ("there", 1), ("hi", 2), ("<you>", 1),
    ]  # fmt: skip
    assert srt(transcript) == (
        "1\n00:00:00,500 --> 00:00:01,500\nChannel 1: hello there\n\n"
        "2\n00:00:01,200 --> 00:00:02,200\nChannel 2: hi\n\n"
        "3\n00:00:02,500 --> 00:00:03,500\nChannel 1: <you>\n"
    )
    assert "00:00:01.200 --> 00:00:02.200\n<v Channel 2>hi\n" in vtt(transcript)
    assert vtt(transcript).endswith("<v Channel 1>&lt;you&gt;\n")


@given(spoken(), spoken())
def test_cues_of_two_channels_are_those_of_each(first, second):
    words = [replace(word, channel=n) for n, words in ((1, first), (2, second)) for word in words]
    words.sort(key=lambda word: word.start)
    subtitles = list(cues(words, 100.0))
    assert [cue.start for cue in subtitles] == sorted(cue.start for cue in subtitles)
    for number, spoken_words in ((1, first), (2, second)):
        lines = [line for cue in subtitles if cue.channel == number for line in cue.lines]
        assert " ".join(lines) == " ".join(word.word for word in spoken_words)


def test_nothing_said_is_still_a_valid_file():
    silent = Transcript("a.wav", 2.0, [], "x")
    assert (txt(silent), srt(silent), vtt(silent)) == ("\n", "", "WEBVTT\n")


def test_json_is_one_object_on_one_line():
    line = as_json(TRANSCRIPT)
    assert line.count("\n") == 1 and json.loads(line) == {
        "file": "a.wav", "duration": 3662.0, "text": "one <two> three", "model": "half.int8-onnx",
        "words": [
            {"word": "one", "start": 0.5, "end": 0.8, "confidence": 0.9},
            {"word": "<two>", "start": 1.0, "end": 1.3, "confidence": 0.5},
            {"word": "three", "start": 3661.2, "end": 3661.4, "confidence": 0.7},
        ],
    }  # fmt: skip


def test_a_name_with_line_breaks_and_colors_is_one_line_of_json_and_comes_back():
    name = "a\x1b[31m\n\x9b2J\u2028\u202eb.wav"
    line = as_json(Transcript(name, 1.0, [], "m"))
    assert len(line.splitlines()) == 1 and line[:-1].isprintable() and json.loads(line)["file"] == name
