"""Stage student@NAME: models/PARENT + logits/teacher + corpus -> models/NAME."""

from pathlib import Path

from pipeline import params
from pipeline.stages import stage_main


def main(name: str) -> None:
    from pipeline.launch import under_accelerate

    p = params.load()
    if under_accelerate("pipeline.stages.student", name):
        return
    from pipeline.distill import make_student

    make_student(name, p, Path("models") / name)


if __name__ == "__main__":
    stage_main(main)
