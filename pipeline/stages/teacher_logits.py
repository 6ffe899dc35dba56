"""Stage teacher_logits: models/teacher + corpus -> logits/teacher."""

from pipeline.common import cluster
from pipeline.project import Project, load_params
from pipeline.stages import run
from pipeline.train.launch import under_accelerate


def main() -> None:
    params, project = load_params(), Project()
    if not cluster.is_used() and under_accelerate("pipeline.stages.teacher_logits"):
        return
    from pipeline.distill.logits.write import store_logits
    from pipeline.speech.corpus import open_corpus

    corpus = open_corpus(project.corpus(params.corpus.name))
    store_logits(params.logits, project.teacher, corpus, project.checkpoints / "teacher_logits", project.logits)


if __name__ == "__main__":
    run(main)
