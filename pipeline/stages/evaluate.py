"""Stage evaluate@VARIANT: variants/MODEL.SCHEME + corpus -> scores/MODEL.SCHEME.json and durations/MODEL.SCHEME.json."""

import time

from pipeline.evaluate import scores
from pipeline.evaluate.run import evaluate
from pipeline.project import Project, load_params
from pipeline.speech.corpus import open_corpus
from pipeline.stages import run, variant_of


def main(slug: str | None = None) -> None:
    params, project = load_params(), Project()
    variant = variant_of(params, slug, "evaluate")
    corpus = open_corpus(project.corpus(params.corpus.name))
    scratch = project.scratch / "evaluate" / variant.name
    began, is_resumed = time.monotonic(), scratch.exists()
    evaluate(params.evaluate, project.variant(variant.name), corpus, project.score(variant.name), scratch)
    seconds = None if is_resumed else round(time.monotonic() - began, 3)
    scores.write_seconds(project.duration(variant.name), seconds)


if __name__ == "__main__":
    run(main)
