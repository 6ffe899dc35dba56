"""The section "How to run it" of an exported folder's card: one complete program per runtime, which prints a line per file."""

import math

from pipeline.exports.sherpa import FRAME
from pipeline.recognition import seal

HEADING = "## How to run it\n"
READ = """    samples, rate = soundfile.read(path, dtype="float32")
    if (rate, samples.ndim) != (16000, 1):
        sys.exit(f"{path} is not one channel at 16 kHz")
"""

SHERPA = """### sherpa-onnx: Android, iOS, C, C#, Go, Swift, Python, WebAssembly

`pip install sherpa-onnx soundfile`. In the other languages the same two files go into `omnilingual.model` and `tokens` of the
offline recognizer's model config, with greedy search; its beam search and hot words don't take this kind of model. Texts may
hold two spaces where this program prints one.

```python
import sys
import sherpa_onnx, soundfile

recognizer = sherpa_onnx.OfflineRecognizer.from_omnilingual_asr_ctc(model="{file}", tokens="tokens.txt")
for path in sys.argv[1:]:
    samples, rate = soundfile.read(path, dtype="float32")  # one channel, of any rate
    if samples.ndim != 1:
        sys.exit(f"{{path}} is not one channel")
    stream = recognizer.create_stream()
    stream.accept_waveform(rate, samples)
    recognizer.decode_stream(stream)
    print(*stream.result.text.split())
```
"""
NO_SHERPA = "sherpa-onnx can't run this model ({obstacle}), so tokens.txt, which it would need, is left out.\n"
SHERPA_TIMES = (
    "sherpa-onnx's times are wrong by a factor of {factor:g}: it takes 20 ms per frame, and this model has {ms:g} ms.\n"
)
TRANSFORMERS_JS = """### transformers.js: browsers, Node

`npm install @huggingface/transformers`. A browser takes the address of a file, where Node needs its samples.

```js
import {{ readFileSync }} from "node:fs";
import {{ env, pipeline }} from "@huggingface/transformers";

env.allowRemoteModels = false;
env.localModelPath = process.cwd() + "/";  // the folder of this one; none of both lines if it is on the hub
const recognize = await pipeline("automatic-speech-recognition", ".", {{ dtype: "{dtype}" }});
for (const path of process.argv.slice(2)) {{
  const wav = readFileSync(path);  // one channel, 16 kHz, 16 bits, after a header of 44 bytes
  const samples = new Int16Array(wav.buffer.slice(wav.byteOffset + 44, wav.byteOffset + wav.length));
  console.log((await recognize(Float32Array.from(samples, (sample) => sample / 32768))).text);
}}
```
"""
ONNXRUNTIME = """### ONNX Runtime: C, C++, C#, Java, Python, browsers (onnxruntime-web)

`pip install onnxruntime soundfile`. One input, `input_values`: raw audio, float32 [batch, samples] at 16 kHz. One output,
`logits`: float32 [batch, frames, {vocabulary}]. vocab.json has the tokens' ids; the blank is `<pad>`, the gap between words is
`{gap}`.

```python
import itertools, json, sys
import onnxruntime, soundfile

session = onnxruntime.InferenceSession("{file}")
tokens = {{index: token for token, index in json.load(open("vocab.json", encoding="utf-8")).items()}}
for path in sys.argv[1:]:
{read}    logits = session.run(None, {{"input_values": samples[None]}})[0][0]
    best = [tokens[index] for index, _ in itertools.groupby(logits.argmax(-1))]
    print(*"".join(token for token in best if token != "<pad>").replace("{gap}", " ").split())
```
"""
OPTIMUM = """### Optimum

`pip install optimum-onnx[onnxruntime] soundfile`

```python
import sys
import soundfile
from optimum.onnxruntime import ORTModelForCTC
from transformers import AutoProcessor

model = ORTModelForCTC.from_pretrained(".", subfolder="onnx", file_name="{name}")
processor = AutoProcessor.from_pretrained(".")
for path in sys.argv[1:]:
{read}    logits = model(**processor(samples, sampling_rate=rate, return_tensors="np")).logits
    print(*processor.batch_decode(logits.argmax(-1))[0].split())
```
"""
OPENVINO = """### Optimum Intel

`pip install optimum-intel[openvino] "datasets<5.2" soundfile`. The settings are those of Bigfoot's own measurements; OpenVINO's
defaults may compute in bfloat16.

```python
import sys
import soundfile
from optimum.intel import OVModelForCTC
from transformers import AutoProcessor

settings = {{"INFERENCE_PRECISION_HINT": "{precision}", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"}}
model = OVModelForCTC.from_pretrained(".", ov_config=settings)
processor = AutoProcessor.from_pretrained(".")
for path in sys.argv[1:]:
{read}    logits = model(**processor(samples, sampling_rate=rate, return_tensors="np")).logits
    print(*processor.batch_decode(logits.argmax(-1))[0].split())
```

In other languages: openvino_model.xml has one input, `input_values`: raw audio, float32 [batch, samples] at 16 kHz. Its one
output, `logits`, is float32 [batch, frames, {vocabulary}]. vocab.json has the tokens' ids; the blank is `<pad>`, the gap
between words is `{gap}`.
"""
ONNX_ASR = """### onnx-asr

Its releases up to 0.12.0 refuse this folder, since they don't have the model type wav2vec2-ctc yet; its repository has it since
July 2026. It drops spaces before apostrophes and other signs.

```python
import sys
import onnx_asr

model = onnx_asr.load_model("wav2vec2-ctc", ".", quantization={quantization})
for path in sys.argv[1:]:
    print(model.recognize(path))  # one channel, 16 bits
```
"""
EXECUTORCH = """### ExecuTorch: Android, iOS, Linux, macOS, Windows

`pip install executorch torch soundfile`. Phones need neither Python nor PyTorch, but ExecuTorch's package for Android or for
Swift, with XNNPACK.

```python
import itertools, json, math, sys
import soundfile, torch
from executorch.runtime import Runtime

hop, longest = {hop}, {longest}  # samples: from frame to frame, and the most that the program takes
method = Runtime.get().load_program("model.pte").load_method("forward")
tokens = {{index: token for token, index in json.load(open("vocab.json", encoding="utf-8")).items()}}
for path in sys.argv[1:]:
{read}    if len(samples) > longest:
        sys.exit(f"{{path}} is longer than {{longest / 16000:g}} s: cut it at pauses")
    audio = torch.zeros(1, hop * max(2, math.ceil(len(samples) / hop)))
    audio[0, : len(samples)] = torch.from_numpy(samples)
    logits = method.execute([audio, torch.tensor([len(samples)])])[0][0]
    frames = max(1, 1 + (len(samples) - {field}) // hop)
    best = [tokens[index] for index, _ in itertools.groupby(logits[:frames].argmax(-1).tolist())]
    print(*"".join(token for token in best if token != "<pad>").replace("{gap}", " ").split())
```

Two inputs: raw audio at 16 kHz, float32 [1, samples], padded with zeros to whole frames, two at least; and int64 [1], how many
samples are not padding. One output: float32 [1, frames, {vocabulary}], of which the first 1 + (samples - {field}) // {hop} are
the recording's. vocab.json has the tokens' ids; the blank is `<pad>`, the gap between words is `{gap}`.

Audio goes in as it is: the program normalizes it if the model was trained so. It takes 30 s at most: cut longer ones yourself,
at pauses.
"""
LITERT = """### LiteRT: Android, iOS, Linux, macOS, Windows, browsers

`pip install ai-edge-litert soundfile`

```python
import itertools, json, sys
import numpy as np, soundfile
from ai_edge_litert.interpreter import Interpreter

model = Interpreter("{file}")
runners = [model.get_signature_runner(name) for name in model.get_signature_list()]
by_length = {{int(runner.get_input_details()["audio"]["shape"][1]): runner for runner in runners}}
tokens = {{index: token for token, index in json.load(open("vocab.json", encoding="utf-8")).items()}}
for path in sys.argv[1:]:
{read}    length = min((length for length in by_length if length >= len(samples)), default=0)
    if not length:
        sys.exit(f"{{path}} is longer than {{max(by_length) / 16000:g}} s: cut it at pauses")
    audio = np.pad(samples, (0, length - len(samples)))[None]
    logits = by_length[length](audio=audio, length=np.array([len(samples)], np.int32))["output_0"][0]
    frames = max(1, 1 + (len(samples) - {field}) // {hop})
    best = [tokens[index] for index, _ in itertools.groupby(logits[:frames].argmax(-1))]
    print(*"".join(token for token in best if token != "<pad>").replace("{gap}", " ").split())
```

One signature for each length, such as `seconds_3`, with two inputs: `audio`, raw at 16 kHz, float32 [1, samples], padded with
zeros to the signature's length; and `length`, int32 [1], how many samples are not padding. One output, `output_0`: float32
[1, frames, {vocabulary}], of which the first 1 + (samples - {field}) // {hop} are the recording's. vocab.json has the
tokens' ids; the blank is `<pad>`, the gap between words is `{gap}`.

Audio goes in as it is: the program normalizes it if the model was trained so. A recording costs as much as the signature's
length. The longest takes 30 s: cut longer ones yourself, at pauses.
"""
LIMITS = """Audio goes in as it is: the graph normalizes it if the model was trained so. A batch holds recordings of one length.
Bigfoot's figures are of recordings cut at 30 s: cut longer ones yourself, at pauses.
"""


def replaced(card: str, how: str) -> str:
    """The card with another section on how to run it; it is the last one."""
    return card.partition(HEADING)[0].rstrip() + f"\n\n{HEADING}\n{how}"


def onnx(file: str, info: dict, obstacle: str | None, gap: str) -> str:
    """Of the layout `onnx`; `obstacle`: why sherpa-onnx can't run the model."""
    frame = math.prod(info["conv_strides"])
    values = {
        "read": READ,
        "file": file,
        "name": file.rpartition("/")[2],
        "dtype": "q8" if "quantized" in file else "fp32",
        "obstacle": obstacle,
        "gap": gap,
        "vocabulary": len(info["vocab"]),
        "factor": frame / FRAME,
        "ms": frame / info["sample_rate"] * 1000,
    }
    sherpa = [NO_SHERPA] if obstacle else [SHERPA, SHERPA_TIMES] if frame != FRAME else [SHERPA]
    return "\n".join(part.format(**values) for part in [LIMITS, *sherpa, TRANSFORMERS_JS, ONNXRUNTIME, OPTIMUM])


def openvino(info: dict, gap: str) -> str:
    """Of the layout `openvino`."""
    values = {"read": READ, "precision": info.get("precision", "f32"), "vocabulary": len(info["vocab"]), "gap": gap}
    return "\n".join([LIMITS, OPENVINO.format(**values)])


def onnx_asr(is_quantized: bool) -> str:
    """Of the layout `onnx-asr`."""
    return ONNX_ASR.format(quantization='"int8"' if is_quantized else None)


def executorch(info: dict, gap: str) -> str:
    """Of the layout `executorch`."""
    return EXECUTORCH.format(**_program(info, gap), longest=info["longest"])


def litert(info: dict, gap: str) -> str:
    """Of the layout `litert`."""
    return LITERT.format(**_program(info, gap), file=info["file"])


def _program(info: dict, gap: str) -> dict:
    hop, field = math.prod(info["conv_strides"]), seal.receptive_field(info)
    return {"read": READ, "hop": hop, "field": field, "vocabulary": len(info["vocab"]), "gap": gap}
