"""Stage teacher: corpus (+ a pretrained model) -> models/teacher."""

from pipeline.project import Project, load_params
from pipeline.stages import run
from pipeline.train.launch import under_accelerate


def main() -> None:
    params, project = load_params(), Project()
    if params.teacher.finetune and under_accelerate("pipeline.stages.teacher"):
        return
    from pipeline.speech.corpus import open_corpus
    from pipeline.train.bookkeeping import Bookkeeping
    from pipeline.train.teacher import make_teacher

    make_teacher(
        params.teacher,
        project.root / params.teacher.data,
        open_corpus(project.corpus(params.corpus.name)),
        project.teacher,
        Bookkeeping("teacher", project, params.tracking),
    )


if __name__ == "__main__":
    run(main)
