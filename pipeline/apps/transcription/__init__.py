"""Transcribes recordings, with word times and confidences: `bigfoot transcribe`, and from Python:

from pipeline.apps.transcription import transcribe_file

transcript = transcribe_file("variants/half.int8-openvino", "speech.mp3")
transcript.text, transcript.duration
[(word.word, word.start, word.end, word.confidence) for word in transcript.words]
"""

from pipeline.apps.transcription.formats import FORMATS, Transcript
from pipeline.apps.transcription.run import transcribe_file
from pipeline.apps.transcription.words import Word

__all__ = ["FORMATS", "Transcript", "Word", "transcribe_file"]
