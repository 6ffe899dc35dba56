"""Transcribe a 16 kHz mono file without Bigfoot: pip install numpy soundfile onnxruntime; python example.py FILE"""
import itertools, json, pathlib, sys
import numpy as np, onnxruntime, soundfile

here = pathlib.Path(__file__).parent
info = json.loads((here / "variant.json").read_text(encoding="utf-8"))
audio, rate = soundfile.read(sys.argv[1], dtype="float32")
if (rate, audio.ndim) != (info["sample_rate"], 1):
    sys.exit(f"needs one channel at {info['sample_rate']} Hz, not {audio[:1].size} at {rate} Hz")
if info["normalize"]: audio = (audio - audio.mean()) / np.sqrt(audio.var() + 1e-7)
audio = np.pad(audio, (0, max(0, 400 - audio.size)))  # at least one frame
session = onnxruntime.InferenceSession(here / "model.onnx")
logits = session.run(["logits"], {"waveform": audio[None], "lengths": np.array([audio.size])})[0][0]
best = [info["vocab"][token] for token, _ in itertools.groupby(logits.argmax(-1)) if token != info["blank"]]
print(*"".join(best).split())
