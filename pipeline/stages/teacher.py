"""Stage teacher: corpus -> models/teacher."""

from pathlib import Path

from pipeline import params
from pipeline.stages import stage_main


def main() -> None:
    from pipeline.launch import under_accelerate

    p = params.load()
    if under_accelerate("pipeline.stages.teacher"):
        return
    from pipeline.teacher import make_teacher

    make_teacher(p, Path("models/teacher"))


if __name__ == "__main__":
    stage_main(main)
