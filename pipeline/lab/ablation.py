"""What a setting of a student is worth: students of params.yaml, trained from several seeds.

    python -m pipeline.lab.ablation [SEEDS] [STUDENT...]

Run in a project with a trained teacher and its stored logits. Each student, or those named, is trained from the seeds 1 to
SEEDS (3), its parent from the same seed before it, into ablation/STUDENT.SEED; one that is there already, from the same
settings, parent, corpus and logits, is not trained again. A row has the word errors in percent on dev, which chose the
checkpoint, and on gate and test together, which chose nothing.
"""

import json
import statistics
from pathlib import Path

from pipeline.common.command import stage_main
from pipeline.common.errors import BigfootError
from pipeline.common.files import SUMS, read_text, sha256
from pipeline.common.tables import markdown

OUT = Path("ablation")


def main(seeds: int = 3, *names: str) -> None:
    from pipeline.project import load_params

    params = load_params()
    rows = []
    for name in names or [name for name, student in params.students.items() if student.training]:
        found = [trained(name, seed) for seed in range(1, seeds + 1)]
        for key in found[0]:
            rates = [100 * result[key][0] / result[key][1] for result in found]
            rows.append([name, key, *(f"{rate:.2f}" for rate in rates), f"{statistics.mean(rates):.2f}"])
            print(*rows[-1], sep="\t", flush=True)
    print(markdown(["student", "words of", *(f"seed {n}" for n in range(1, seeds + 1)), "mean"], rows))


def trained(name: str, seed: int) -> dict[str, list[int]]:
    """Train one student from one seed; its [errors, words] by split."""
    from pipeline.distill.student import make_student
    from pipeline.models import few_bits
    from pipeline.models.folder import load_model
    from pipeline.models.inference import dev_errors
    from pipeline.project import Project, load_params
    from pipeline.speech.corpus import GATE, open_corpus, split_folder
    from pipeline.train.bookkeeping import Bookkeeping

    params, project = load_params(), Project()
    out = OUT / f"{name}.{seed}"
    if name not in params.students or (settings := params.students[name]).training is None:
        raise BigfootError(f"params.yaml has no student {name} that is trained: name another")
    settings = settings.model_copy(update={"training": settings.training.model_copy(update={"seed": seed})})
    parent, corpus = project.model(settings.parent), open_corpus(project.corpus(params.corpus.name))
    if settings.parent in params.students and params.students[settings.parent].training:
        trained(settings.parent, seed)
        parent = OUT / f"{settings.parent}.{seed}"
    origin = {"settings": settings.model_dump(mode="json"), "parent": read_text(parent / SUMS, "dvc repro")}
    origin["corpus"] = {
        split: sha256(split_folder(corpus.folder, split) / "split.json") for split in ("train", "dev", GATE, *corpus.test_sets)
    }
    if settings.distillation.reads_store:
        origin["logits"] = sha256(project.logits / "index.json")
    if (known := out / "errors.json").is_file():
        found = json.loads(known.read_text())
        if found["origin"] != origin:
            raise BigfootError(f"{out} was trained from other settings, another parent or other data: remove it")
        return found["errors"]
    make_student(
        settings, corpus, parent, project.teacher, project.logits, out, Bookkeeping(f"{name}_{seed}", project, params.tracking)
    )
    model, processor = load_model(out)
    few_bits.attach_own(model, out)
    if settings.quantize_aware:
        _round_again(model, corpus, processor, out)
    found = {}
    for key, splits in (("dev", ["dev"]), ("gate and test", [GATE, *corpus.test_sets])):
        counts = [dev_errors(model, processor, corpus, corpus.utterances(split)) for split in splits]
        found[key] = [sum(errors for errors, _ in counts), sum(length for _, length in counts)]
    known.write_text(json.dumps({"origin": origin, "errors": found}))
    return found


def _round_again(model, corpus, processor, folder: Path) -> None:
    """Let a model that was trained with rounding round again, to the ranges that it learned."""
    import torch

    from pipeline.distill import fake_int8
    from pipeline.distill.student import importance_audio
    from pipeline.models.int8_ranges import RANGES

    fake_int8.attach(model, importance_audio(corpus, processor, corpus.utterances("train")[:1]))
    ranges = json.loads((folder / RANGES).read_text())
    with torch.no_grad():
        for layer, ends in zip(fake_int8._layers(model), ranges.values(), strict=True):
            layer.int8.low.fill_(ends["low"])
            layer.int8.high.fill_(ends["high"])


if __name__ == "__main__":
    stage_main(main)
