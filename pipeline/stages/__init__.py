"""Thin command lines, one module per DVC stage with the stage's name: each reads its params and calls one pure function.

That function gets its settings, its input folders and its output folder. Paths are defined only in pipeline/project.py.
"""

from pipeline.common.errors import BigfootError
from pipeline.params import Params, Variant


def variant_of(params: Params, slug: str | None, stage: str) -> Variant:
    """The variant of a slug; raises BigfootError, which lists the known ones, where the slug is unknown."""
    if slug not in params.variants:
        raise BigfootError(f"{stage}: unknown variant '{slug}': use one of params.yaml: {', '.join(params.variants)}")
    return params.variants[slug]
