"""The page in a real browser: it hears a file as microphone, gives the recognizer's text of any file, and works offline."""

import re
import shutil
import time
from contextlib import ExitStack

import numpy as np
import psutil
import pytest
import soundfile
import soxr

import tests.media
from pipeline.lab.browser import Browser, served, wait_for
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech import audio, media
from tests.apps.web.conftest import silence, speak

pytestmark = pytest.mark.slow

FREE = "document.querySelector('#listen')?.disabled === false"
DONE = f"{FREE} && document.querySelector('#status').textContent === ''"
ALLOWED = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


def text(browser: Browser, selector: str) -> str:
    return browser.run(f"document.querySelector('{selector}').textContent").strip()


def answers(browser: Browser) -> list[str]:
    """The text in each model's card."""
    return browser.run("[...document.querySelectorAll('#answers .words')].map((one) => one.textContent.trim())")


def open_file(browser: Browser, file) -> list[str]:
    browser.upload("#file", file)
    browser.until(f"{DONE} && document.querySelector('#recording-title').textContent === '{file.name}'")
    return answers(browser)


def test_a_sentence_is_seen_as_it_is_spoken_and_stays(page, tmp_path):
    spoken = np.concatenate([silence(2), speak("one two two one"), silence(2), speak("two one"), silence(3)])
    soundfile.write(tmp_path / "mic.wav", soxr.resample(spoken, 16_000, 48_000), 48_000, subtype="PCM_16")
    options = [*ALLOWED, f"--use-file-for-fake-audio-capture={tmp_path}/mic.wav%noloop"]
    with served(page) as (address, _), Browser(tmp_path / "profile", options) as browser:
        browser.go(address)
        browser.until(FREE)
        browser.run("document.querySelector('#listen').click()")
        browser.until("document.querySelector('#listen').textContent === 'Stop'")
        seen, final, deadline = set(), "", time.monotonic() + 30
        while final != "one two two one two one" and time.monotonic() < deadline:
            seen.add(text(browser, "#partial"))
            final = text(browser, "#final")
            time.sleep(0.05)
        assert final == "one two two one two one"
        growing = sorted({words for words in seen if words}, key=len)
        assert len(growing) >= 3 and all(words.startswith(("o", "t")) for words in growing)
        assert "RTFx" in text(browser, "#speed")
        browser.run("document.querySelector('#listen').click()")
        browser.until(f"{DONE} && document.querySelector('#recording-title').textContent === 'What you said'")
        assert text(browser, "#final") == final and len(answers(browser)) == 1
        assert not browser.wrong


def test_fifty_files_of_many_formats_give_the_recognizers_text(page, project, tmp_path):
    recognizer = Recognizer.load(project / "variants/half.fp32-onnx")
    rng = np.random.default_rng(1)
    formats = [("wav", 16_000, 1), ("flac", 16_000, 1), ("wav", 44_100, 2), ("ogg", 48_000, 1), ("mp3", 44_100, 1)]
    formats += [("m4a", 44_100, 1), ("webm", 48_000, 2)]
    with served(page) as (address, _), Browser(tmp_path / "profile") as browser:
        browser.go(address)
        browser.until(FREE)
        for number in range(50):
            form, rate, channels = formats[number % len(formats)]
            said = " ".join(rng.choice(["one", "two", "ten", "net", "town"], rng.integers(1, 9)))
            wave = soxr.resample(speak(said, number), 16_000, rate)
            file = tmp_path / f"{number}.{form}"
            write = tests.media.media if file.suffix in tests.media.CODECS else soundfile.write
            write(file, np.stack([wave] * channels, 1), rate)
            assert open_file(browser, file) == [recognizer.transcribe(media.read(file, "mix"))] == [said]
        assert not browser.wrong


def test_a_file_of_a_minute_is_recognized_in_windows_that_meet(page, project, tmp_path):
    said = " ".join(["one two ten"] * 40)
    audio.write(tmp_path / "long.wav", speak(said))
    assert len(speak(said)) > 60 * 16_000
    with served(page) as (address, _), Browser(tmp_path / "profile") as browser:
        browser.go(address)
        browser.until(FREE)
        assert open_file(browser, tmp_path / "long.wav") == [said]


def test_models_answer_side_by_side_and_errors_against_typed_words_are_marked(page, tmp_path):
    with served(page) as (address, asked), Browser(tmp_path / "profile") as browser:
        browser.go(address)
        browser.until(FREE)
        assert not [path for path in asked if "thin" in path]  # loaded only when it is chosen
        browser.run("document.querySelector('input[value=\"thin.fp32-onnx\"]').click()")
        audio.write(tmp_path / "a.wav", speak("one two"))
        assert open_file(browser, tmp_path / "a.wav") == ["one two", "one to"]
        browser.run("document.querySelector('#said').value = 'One, two!'")
        browser.run("document.querySelector('#said').dispatchEvent(new Event('input'))")
        cards = browser.run("[...document.querySelectorAll('#answers section')].map((one) => one.innerText)")
        assert "0.0% WER (0 of 2 words)" in cards[0] and "50.0% WER (1 of 2 words)" in cards[1]
        assert browser.run("document.querySelector('#answers del').textContent") == "two"
        assert browser.run("document.querySelector('#answers ins').textContent") == "to"
        browser.run("document.querySelector('.example').click()")
        browser.until(f"{DONE} && document.querySelector('#recording-title').textContent === 'Example'")
        assert answers(browser)[0] == text(browser, ".example").rpartition(" (")[0] == browser.run("said.value")


def test_a_model_that_is_chosen_afterwards_answers_too_and_typed_digits_are_not_dropped(page, tmp_path):
    with served(page) as (address, _), Browser(tmp_path / "profile") as browser:
        browser.go(address)
        browser.until(FREE)
        audio.write(tmp_path / "a.wav", speak("one two"))
        assert open_file(browser, tmp_path / "a.wav") == ["one two"]
        for script in ("said.value = 'one 2'", "said.dispatchEvent(new Event('input'))"):
            browser.run(script)
        assert "write the numbers as words" in browser.run("document.querySelector('#answers section').innerText")
        browser.run("document.querySelector('input[value=\"thin.fp32-onnx\"]').click()")
        browser.until(f"{DONE} && document.querySelectorAll('#answers section').length === 2")
        assert answers(browser) == ["one two", "one to"] and browser.run("said.value") == "one 2"


def test_the_focus_stays_where_it_was(page, tmp_path):
    with served(page) as (address, _), Browser(tmp_path / "profile", ALLOWED) as browser:
        browser.go(address)
        browser.until(FREE)
        browser.run("document.querySelector('#listen').focus()")
        for label in ("Stop", "Start listening"):
            browser.run("document.activeElement.click()")
            browser.until(f"{FREE} && document.querySelector('#listen').textContent === '{label}'")
            assert browser.run("document.activeElement.id") == "listen"


def test_what_the_recognizer_refuses_is_refused(page, tmp_path):
    """Channels of opposite phase, a cut WAV, samples that are not numbers."""
    spoken = speak("one two")
    soundfile.write(tmp_path / "phase.wav", np.stack([spoken, -spoken], 1), 16_000)
    soundfile.write(tmp_path / "nan.wav", np.where(np.arange(spoken.size) % 9, spoken, np.nan), 16_000, subtype="FLOAT")
    audio.write(tmp_path / "whole.wav", spoken)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "whole.wav").read_bytes()[: spoken.size])
    with served(page) as (address, _), Browser(tmp_path / "profile") as browser:
        browser.go(address)
        browser.until(FREE)
        for name, said in (("phase", "opposite phase"), ("cut", "is cut off"), ("nan", "not numbers")):
            browser.upload("#file", tmp_path / f"{name}.wav")
            browser.until(f"{FREE} && /{said}/.test(document.querySelector('#message').textContent)")
        assert open_file(browser, tmp_path / "whole.wav") == ["one two"]


def test_after_the_first_visit_it_works_without_a_network(page, tmp_path):
    audio.write(tmp_path / "a.wav", speak("ten"))
    with Browser(tmp_path / "profile") as browser:
        with served(page) as (address, asked):
            browser.go(address)
            browser.until(FREE)
            assert "works offline" in text(browser, "#offline")
            assert asked.count("/runtime/ort.wasm.gzip") == asked.count("/exported/half.fp32-onnx/onnx/model.onnx") == 1
        browser.go(address)  # nobody answers there now
        browser.until(FREE)
        assert open_file(browser, tmp_path / "a.wav") == ["ten"]
        browser.run("document.querySelector('input[value=\"thin.fp32-onnx\"]').click()")
        browser.upload("#file", tmp_path / "a.wav")
        browser.until(f"{FREE} && !document.querySelector('#message').hidden")
        assert "can't be fetched: is the network away?" in text(browser, "#message")


def test_what_goes_wrong_is_said_in_one_line(page, tmp_path):
    (tmp_path / "notes.txt").write_text("no sound")
    with served(page) as (address, _), Browser(tmp_path / "profile") as browser:
        browser.tell("Browser.setPermission", permission={"name": "microphone"}, setting="denied")
        browser.go(address)
        browser.until(FREE)
        browser.upload("#file", tmp_path / "notes.txt")
        browser.until(f"{FREE} && document.querySelector('#message').textContent.startsWith('notes.txt can')")
        browser.run("document.querySelector('#listen').click()")
        browser.until(f"{FREE} && /microphone/.test(document.querySelector('#message').textContent)")
        browser.run("document.querySelectorAll('input[name=model]').forEach((one) => (one.checked = false))")
        browser.upload("#file", tmp_path / "notes.txt")
        browser.until(f"{FREE} && document.querySelector('#message').textContent === 'Choose a model below.'")


def test_no_other_host_is_asked_and_the_browser_would_refuse(page, tmp_path):
    """Whatever isn't on this machine would go to a proxy, which counts."""
    with ExitStack() as stack:
        address, _ = stack.enter_context(served(page))
        proxy, foreign = stack.enter_context(served(tmp_path))
        browser = stack.enter_context(Browser(tmp_path / "profile", [f"--proxy-server={proxy.rstrip('/')}"]))
        browser.go(address)
        browser.until(FREE)
        browser.run("document.querySelector('input[value=\"thin.fp32-onnx\"]').click()")
        browser.run("document.querySelector('.example').click()")
        browser.until(f"{DONE} && document.querySelectorAll('#answers section').length === 2")
        refused = """new Promise((resolve) => {
            addEventListener("securitypolicyviolation", ({ blockedURI }) => resolve(blockedURI));
            fetch("https://example.org/").catch(() => {});
        })"""
        assert browser.run(refused) == "https://example.org/"
        assert not [one for one in foreign if not re.search("google|gvt1", one)]  # those are the browser's own
        browser.go("http://example.org/")
        wait_for(lambda: "http://example.org/" in foreign, 10, "the proxy doesn't count")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_it_fits_the_screen(page, tmp_path, width, scheme):
    with served(page) as (address, _), Browser(tmp_path / "profile") as browser:
        browser.go(address)
        browser.until(FREE)
        browser.run("document.querySelector('details').open = true")
        browser.run("document.querySelector('.example').click()")
        browser.until(f"{DONE} && document.querySelectorAll('#answers section').length === 1")
        browser.picture(tmp_path / "page.png", width, scheme)
        assert browser.run("document.documentElement.scrollWidth") <= width
        small = "[...document.querySelectorAll('button, .button, .models label')].filter((one) => one.offsetHeight < 44).length"
        assert browser.run(small) == 0


def test_an_hour_of_speech_needs_no_more_memory_than_its_first_minutes(page, tmp_path):
    """The page's own worker is handed an hour of talk without pauses, as fast as it takes it."""
    stream = """(async (minutes, samples) => {
        const [model] = (await (await fetch("models.json")).json()).models;
        if (!window.test) {
            window.test = { worker: new Worker("worker.js", { type: "module" }), at: 0, words: 0 };
            window.test.worker.postMessage({ id: 1, ask: "listen", model, rate: 16000 });
            await new Promise((resolve) => (test.worker.onmessage = ({ data }) => data.id === 1 && resolve()));
        }
        const { worker } = window.test;
        for (const end = test.at + minutes * 60 * 16000; test.at < end; test.at += 16000) {
            const block = Float32Array.from({ length: 16000 }, (_, index) => samples[(test.at + index) % samples.length]);
            const passed = new Promise((resolve) => (worker.onmessage = ({ data }) => resolve(data)));
            worker.postMessage({ ask: "block", samples: block });
            const { heard, failed } = await passed;
            if (failed) throw new Error(failed);
            test.words += heard.final.length;
        }
        return test.words;
    })"""
    words = " ".join(["one two ten net"] * 8) + " "
    samples = f"Float32Array.from([{','.join(f'{one:.4f}' for one in speak(words))}])"
    with served(page) as (address, _), Browser(tmp_path / "profile") as browser:
        browser.go(address)
        browser.until(FREE)
        browser.run(f"window.samples = {samples}; 0")
        browser.run(f"{stream}(5, window.samples)")
        early = _memory(browser)
        heard = [browser.run(f"{stream}(11, window.samples)") for _ in range(5)][-1]
        assert heard == pytest.approx(3600 / (len(speak(words)) / 16_000) * 32, abs=60)  # a window's words are not yet final
        assert _memory(browser) < early + 60


def _memory(browser: Browser) -> float:
    """MB of the page's process, the largest of the browser's."""
    browser.tell("HeapProfiler.collectGarbage")
    processes = psutil.Process(browser.process.pid).children(recursive=True)
    renderers = [one for one in processes if "--type=renderer" in one.cmdline()]
    return max(one.memory_info().rss for one in renderers) / 1e6


def test_without_https_files_are_recognized_and_the_microphone_says_what_it_needs(page, tmp_path):
    audio.write(tmp_path / "a.wav", speak("ten"))
    options = ["--host-resolver-rules=MAP page.test 127.0.0.1"]
    with served(page) as (address, _), Browser(tmp_path / "profile", options) as browser:
        browser.go(address.replace("127.0.0.1", "page.test"))
        browser.until(FREE)
        assert "needs the network each time" in text(browser, "#offline")
        assert open_file(browser, tmp_path / "a.wav") == ["ten"]
        browser.run("document.querySelector('#listen').click()")
        browser.until(f"{FREE} && document.querySelector('#message').textContent.startsWith('The microphone needs https')")


def test_what_cannot_be_stored_still_works_and_says_so(page, tmp_path):
    shutil.copytree(page, tmp_path / "web")
    (tmp_path / "web/icon.svg").unlink()  # so the service worker can't store all
    audio.write(tmp_path / "a.wav", speak("ten"))
    with served(tmp_path / "web") as (address, _), Browser(tmp_path / "profile") as browser:
        browser.go(address)
        browser.until(FREE)
        assert "needs the network each time" in text(browser, "#offline")
        assert open_file(browser, tmp_path / "a.wav") == ["ten"]


def test_a_reload_past_the_store_starts_too(page, tmp_path):
    with served(page) as (address, _), Browser(tmp_path / "profile") as browser:
        browser.go(address)
        browser.until(FREE)
        browser.run("window.before = true")
        browser.tell("Page.reload", ignoreCache=True)
        browser.until(f"!window.before && {FREE}")
        assert "works offline" in text(browser, "#offline")
