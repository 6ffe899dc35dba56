"""Stage `quantize`, one item a variant: models/MODEL in a scheme -> variants/MODEL.SCHEME."""

from pathlib import Path

from pipeline import params, schemes
from pipeline.corpus.manifest import open_corpus
from pipeline.errors import BigfootError
from pipeline.stages import stage_main


def quantize(slug: str | None = None) -> None:
    settings = params.load()
    if slug not in settings.variants:
        raise BigfootError(f"quantize: unknown variant '{slug}', params.yaml has {', '.join(settings.variants)}")
    variant = settings.variants[slug]
    schemes.quantise(
        variant.scheme,
        settings.schemes[variant.scheme],
        Path("models") / variant.model,
        open_corpus(Path("corpora") / settings.corpus.name),
        Path("variants") / variant.name,
    )


if __name__ == "__main__":
    stage_main(quantize)
