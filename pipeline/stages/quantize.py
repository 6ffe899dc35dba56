"""Stage quantize@VARIANT: models/MODEL + corpus -> variants/MODEL.SCHEME."""

from pipeline.project import Project, load_params
from pipeline.quantize.run import quantize
from pipeline.speech.corpus import open_corpus
from pipeline.stages import run, variant_of


def main(slug: str | None = None) -> None:
    params, project = load_params(), Project()
    variant = variant_of(params, slug, "quantize")
    quantize(
        variant.scheme,
        params.schemes[variant.scheme],
        project.model(variant.model),
        open_corpus(project.corpus(params.corpus.name)),
        project.variant(variant.name),
    )


if __name__ == "__main__":
    run(main)
