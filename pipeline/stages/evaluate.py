"""Stage `evaluate`, one item a variant: variants/MODEL.SCHEME + corpus -> scores/MODEL.SCHEME.json."""

from pathlib import Path

from pipeline import params
from pipeline.errors import BigfootError
from pipeline.evaluate import evaluate
from pipeline.stages import stage_main


def main(slug: str = "") -> None:
    settings = params.load()
    if slug not in settings.variants:
        raise BigfootError(f"evaluate: unknown variant '{slug}', params.yaml has {', '.join(settings.variants)}")
    name = settings.variants[slug].name
    corpus = Path("corpora") / settings.corpus.name
    evaluate(Path("variants") / name, corpus, settings.evaluate, Path("scores") / f"{name}.json")


if __name__ == "__main__":
    stage_main(main)
