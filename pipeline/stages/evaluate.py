"""Stage evaluate@VARIANT: variants/MODEL.SCHEME + corpus -> scores/MODEL.SCHEME.json."""

from pipeline.evaluate.run import evaluate
from pipeline.project import Project, load_params
from pipeline.speech.corpus import open_corpus
from pipeline.stages import run, variant_of


def main(slug: str | None = None) -> None:
    params, project = load_params(), Project()
    variant = variant_of(params, slug, "evaluate")
    corpus = open_corpus(project.corpus(params.corpus.name))
    scratch = project.scratch / "evaluate" / variant.name
    evaluate(params.evaluate, project.variant(variant.name), corpus, project.score(variant.name), scratch)


if __name__ == "__main__":
    run(main)
