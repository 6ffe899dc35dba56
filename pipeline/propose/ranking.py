"""Whether that by which `bigfoot propose` ranks shapes tells which student ends better.

    python -m pipeline.propose.ranking

Run in a project whose students are trained. The shape of each is cut from the teacher anew and distilled for a short time, all
to the last step (pipeline.propose.quality). A row has its CTC loss and the errors of the trained student on gate, which
chose nothing of it; below is Spearman's rank correlation of the two, for each frame rate that three students or more have.
Students that begin with new weights, or aren't trained, are left out. Weights are in float32, but those of a student with
few_bits are rounded as it was trained.
"""

from collections import Counter
from collections.abc import Mapping

from pipeline.common import tables
from pipeline.common.command import stage_main
from pipeline.common.errors import BigfootError
from pipeline.params import Student
from pipeline.propose.shapes import Shape

HEADS = ("Student", "Shape", "Loss cut", "Loss distilled")
SHAPE = ("hidden", "heads", "feed_forward", "conv_channels", "frame_rate")


def main() -> None:
    """Print a row per student; raises BigfootError where fewer than three of one frame rate are trained."""
    from scipy.stats import spearmanr

    from pipeline.project import Project, load_params
    from pipeline.propose import shapes
    from pipeline.propose.machine import teacher_of
    from pipeline.propose.quality import Quality
    from pipeline.propose.run import described

    project = Project()
    params = load_params(project.params)
    trained = [name for name, student in params.students.items() if student.training is not None]
    cuts = {name: shape for name in trained if (shape := shape_of(name, params.students)) is not None}
    teacher, rate_name = teacher_of(project, params.corpus.name), params.corpus.objective.upper()
    frame_rates = {name: shapes.rate_of(teacher.config, cut) for name, cut in cuts.items()}
    counts = Counter(frame_rates.values())
    if (most := max(counts.values(), default=0)) < 3:
        raise BigfootError(
            f"params.yaml: students: {most} of one frame rate are trained and cut from the teacher: ranks need 3 or more"
        )
    quality, rows = Quality(teacher), []
    for name, cut in cuts.items():
        kept, rate = quality.to_the_end(cut), _rate(project.model(name), teacher.corpus)
        rows.append((name, described(shapes.whole(teacher.config) | cut), kept.initial, kept.trained, rate))
    shown = [(name, words, f"{cut:.3f}", f"{end:.3f}", f"{100 * rate:.2f}") for name, words, cut, end, rate in rows]
    print(tables.plain((*HEADS, f"{rate_name} on gate, %"), shown, ["left"] * 2 + ["right"] * 3))
    for frame_rate in (each for each, count in counts.items() if count >= 3):
        same = [row for row in rows if frame_rates[row[0]] == frame_rate]
        who = f"{len(same)} students with {frame_rate:g} frames/s"
        for what, column in (("cut", 2), ("distilled", 3)):
            found = spearmanr([row[column] for row in same], [row[4] for row in same]).statistic
            print(f"rank correlation of loss {what} and {rate_name}: {found:.2f} of {who}")


def shape_of(name: str, students: Mapping[str, Student]) -> Shape | None:
    """A student's shape as one that is cut from the teacher; None where it, or what it is cut from, begins with new weights."""
    settings = students[name]
    if settings.init == "scratch":
        return None
    shape: Shape | None = {} if settings.parent == "teacher" else shape_of(settings.parent, students)
    if shape is None:
        return None
    if settings.layers is not None:
        shape["layers"] = len(settings.layers) if isinstance(settings.layers, list) else settings.layers
    if settings.conv_merge is not None:
        shape["conv_merge"] = _merged(shape.get("conv_merge"), settings.conv_merge)
    return shape | {key: value for key in SHAPE if (value := getattr(settings, key)) is not None}


def _merged(before: list[int] | None, runs: list[int]) -> list[int]:
    """Runs of convolutions of which each may already be a run: [2, 2, 2, 1], then [2, 2] is [4, 3]."""
    if before is None:
        return runs
    ends = [sum(runs[: i + 1]) for i in range(len(runs))]
    return [sum(before[end - run : end]) for end, run in zip(ends, runs, strict=True)]


def _rate(folder, corpus) -> float:
    """A trained model's error rate on gate."""
    from pipeline.models import few_bits
    from pipeline.models.folder import load_model
    from pipeline.models.inference import dev_errors
    from pipeline.speech.corpus import GATE

    if not (folder / "config.json").is_file():
        raise BigfootError(f"{folder} is missing: run `dvc repro` first, which trains the students")
    model, processor = load_model(folder)
    few_bits.attach_own(model, folder)
    errors, length = dev_errors(model, processor, corpus, corpus.utterances(GATE))
    return errors / length


if __name__ == "__main__":
    stage_main(main)
