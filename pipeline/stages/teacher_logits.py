"""Stage teacher_logits: models/teacher + corpus -> logits/teacher."""

from pipeline.distill.logits_store import store_logits
from pipeline.project import Project, load_params
from pipeline.speech.corpus import open_corpus
from pipeline.stages import run


def main() -> None:
    params, project = load_params(), Project()
    store_logits(params.logits, project.teacher, open_corpus(project.corpus(params.corpus.name)), project.logits)


if __name__ == "__main__":
    run(main)
