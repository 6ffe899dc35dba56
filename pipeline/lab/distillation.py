"""The time that stored logits save: a training step with stored logits against one that runs the teacher too.

    python -m pipeline.lab.distillation [SECONDS] [ROUNDS] [PRECISION]

The sizes are the paper's: an untrained teacher with 24 layers of width 1024 and a student with four of its layers. The input is
noise, because neither weights nor audio change the time. Batches are two recordings of SECONDS (16) together; steps of all
kinds take turns for ROUNDS (5) rounds, in PRECISION (auto), which means what training.precision means. The feature encoder is
trained, as in the paper's recipe, or frozen; if it is frozen, its output can be stored too (features: stored), but not if the
teacher runs online.
"""

import json
import statistics
import time

from pipeline.common import host
from pipeline.common.command import stage_main


def main(seconds: float = 16.0, rounds: int = 5, precision: str = "auto") -> None:
    import torch
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    from pipeline.distill.loss import Imitation
    from pipeline.models.forward import accept_features
    from pipeline.params import Distillation
    from pipeline.train import machine

    precision = machine.precision(precision)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    large = {
        "hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096, "feat_extract_norm": "layer",
        "conv_bias": True, "do_stable_layer_norm": True, "mask_time_prob": 0.0,
        "layerdrop": 0.0,
    }  # fmt: skip
    teacher = Wav2Vec2ForCTC(Wav2Vec2Config(num_hidden_layers=24, **large)).to(device)
    student, reader = (Wav2Vec2ForCTC(Wav2Vec2Config(num_hidden_layers=4, **large)).to(device).train() for _ in range(2))
    stored = Imitation(Distillation(teacher="stored"), 0)
    online = Imitation(Distillation(teacher="online"), 0, teacher, precision=precision)
    waveforms = _batch(student, seconds, device)
    with torch.no_grad():
        features = reader.wav2vec2.feature_extractor(waveforms["input_values"]).transpose(1, 2)
    accept_features(reader)
    ways = {  # model, objective, batch, whether the feature encoder learns
        "learning, stored": (student, stored, waveforms, True),
        "learning, online": (student, online, waveforms, True),
        "frozen, stored": (student, stored, waveforms, False),
        "frozen, online": (student, online, waveforms, False),
        "frozen and stored, stored": (reader, stored, waveforms | {"input_values": features}, False),
    }
    optimizers = {model: torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True) for model in (student, reader)}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, (model, objective, batch, learns) in ways.items():
            model.base_model.feature_extractor._requires_grad = learns
            model.base_model.feature_extractor.requires_grad_(learns)
            seconds_taken = _step(model, objective, optimizers[model], batch, precision)
            if number:  # the first round warms up
                times[name].append(seconds_taken)
    pairs = {"learning": "learning", "frozen": "frozen", "frozen and stored": "frozen"}
    steps = {
        f"feature encoder {encoder}": {
            "stored_s": _spread(times[f"{encoder}, stored"]), "online_s": _spread(times[f"{beside}, online"]),
            "ratio": _spread([b / a for a, b in zip(times[f"{encoder}, stored"], times[f"{beside}, online"], strict=True)]),
        }
        for encoder, beside in pairs.items()
    }  # fmt: skip
    facts = {"device": device, "precision": precision, "threads": torch.get_num_threads(), "host": host.describe()}
    facts |= {"versions": host.versions(), "batch_seconds": seconds, "rounds": rounds, "steps": steps}
    print(json.dumps(facts, indent=1))


def _batch(student, seconds: float, device: str) -> dict:
    """Two utterances of noise of the same length, with labels, and with logits as in the store."""
    import torch

    samples = round(seconds * 16_000 / 2)
    frames = student._get_feat_extract_output_lengths(torch.tensor([samples, samples]))
    batch = {
        "input_values": torch.randn(2, samples), "attention_mask": torch.ones(2, samples, dtype=torch.long), "frames": frames,
        "labels": torch.randint(1, 32, (2, 40)), "label_lengths": torch.tensor([40, 40]),
        "teacher_logits": torch.randn(2, int(frames[0]), student.config.vocab_size),
    }  # fmt: skip
    return {name: value.to(device) for name, value in batch.items()}


def _step(student, objective, optimizer, batch: dict, precision: str) -> float:
    """Seconds of one step: the student's forward and backward pass, and the optimizer's update."""
    import torch

    from pipeline.train import machine

    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    optimizer.zero_grad()
    wait()
    started = time.perf_counter()
    with torch.autocast(student.device.type, machine.HALVES.get(precision), enabled=precision in machine.HALVES):
        loss = objective(student, batch, 0.0)
    loss.backward()
    optimizer.step()
    wait()
    return time.perf_counter() - started


def _spread(values: list[float]) -> dict:
    return {"median": round(statistics.median(values), 3), "min": round(min(values), 3), "max": round(max(values), 3)}


if __name__ == "__main__":
    stage_main(main)
