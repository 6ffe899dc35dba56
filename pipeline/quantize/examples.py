"""Writes example.py for variants that run without Bigfoot: a dozen lines from an audio file to its text.

Decision: the shortest correct program, to copy from: a 16 kHz mono file of up to a minute, in one pass. For resampling, long
recordings and batches there is `bigfoot transcribe`. PyTorch's int8 has no example, because pipeline.recognition.torch_model
and pipeline.recognition.torchao_model assemble its weights when they are loaded; peers and variants for a GPU have none either,
nor has what decodes with a language model.
"""

PROGRAM = '''"""Transcribe a 16 kHz mono file without Bigfoot: pip install {packages}; python example.py FILE"""
import itertools, json, pathlib, sys
{imports}

here = pathlib.Path(__file__).parent
info = json.loads((here / "variant.json").read_text(encoding="utf-8"))
audio, rate = soundfile.read(sys.argv[1], dtype="float32")
if (rate, audio.ndim) != (info["sample_rate"], 1):
    sys.exit(f"needs one channel at {{info['sample_rate']}} Hz, not {{audio[:1].size}} at {{rate}} Hz")
if info["normalize"]: audio = (audio - audio.mean()) / np.sqrt(audio.var() + 1e-7)
audio = np.pad(audio, (0, max(0, {least} - audio.size)))  # at least one frame
{run}
best = [info["vocab"][token] for token, _ in itertools.groupby(logits.argmax(-1)) if token != info["blank"]]
print(*"".join(best).split())
'''
ONNX = """session = onnxruntime.InferenceSession(here / "{file}")
logits = session.run(["logits"], {{"waveform": audio[None], "lengths": np.array([audio.size])}})[0][0]"""
OPENVINO = """settings = {{"INFERENCE_PRECISION_HINT": info["precision"], "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}}
model = openvino.compile_model(here / "{file}", "CPU", settings)
logits = model({{"waveform": audio[None], "lengths": np.array([audio.size])}})["logits"][0]"""
# In float32 whatever the weights are: some CPUs get convolutions wrong in bfloat16 (pipeline.models.bf16).
TORCH = """model = AutoModelForCTC.from_pretrained(here, dtype="float32").eval()
with torch.inference_mode():
    logits = model(torch.from_numpy(audio[None])).logits[0].numpy()"""
KINDS = {  # runtime: packages, imports, code that computes the logits
    "onnxruntime": ("numpy soundfile onnxruntime", "import numpy as np, onnxruntime, soundfile", ONNX),
    "openvino": ("numpy soundfile openvino", "import numpy as np, openvino, soundfile", OPENVINO),
    "torch": (
        "numpy soundfile torch transformers",
        "import numpy as np, soundfile, torch\nfrom transformers import AutoModelForCTC",
        TORCH,
    ),
}


def text(runtime: str, file: str, is_greedy: bool = True, least: int = 400) -> str | None:
    """The program for a variant that `runtime` runs from `file`, whose first frame takes `least` samples; None where it can't
    run without Bigfoot.
    """
    if (
        not is_greedy
        or runtime not in KINDS
        or file.startswith(("plain.", "model_fp16."))
        or (runtime == "torch" and file != "model.safetensors")
    ):
        return None
    packages, imports, run = KINDS[runtime]
    return PROGRAM.format(packages=packages, imports=imports, run=run.format(file=file), least=least)
