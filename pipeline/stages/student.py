"""Stage student@NAME: models/PARENT + models/teacher + logits/teacher + corpus -> models/NAME."""

from pipeline.common.errors import BigfootError
from pipeline.project import Project, load_params
from pipeline.stages import run
from pipeline.train.launch import under_accelerate


def main(name: str = "") -> None:
    params, project = load_params(), Project()
    if name not in params.students:
        raise BigfootError(f"unknown student '{name}', known: {', '.join(params.students)}: add it to params.yaml")
    settings = params.students[name]
    if settings.training and under_accelerate("pipeline.stages.student", name):
        return
    from pipeline.distill.student import make_student
    from pipeline.speech.corpus import open_corpus
    from pipeline.train.bookkeeping import Bookkeeping

    make_student(
        settings,
        open_corpus(project.corpus(params.corpus.name)),
        project.model(settings.parent),
        project.teacher,
        project.logits,
        project.model(name),
        Bookkeeping(name, project, params.tracking),
    )


if __name__ == "__main__":
    run(main)
