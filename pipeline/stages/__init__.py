"""Thin command lines, one module per DVC stage and named like it: read the declared params, call one pure function.

That function gets its settings, its input folders and its output folder; no path is spelled outside pipeline/project.py.
"""

from pipeline.common.errors import BigfootError
from pipeline.params import Params, Variant


def variant_of(params: Params, slug: str | None, stage: str) -> Variant:
    """The variant that a stage is asked for; raises BigfootError, with the names there are, where it is unknown."""
    if slug not in params.variants:
        raise BigfootError(f"{stage}: unknown variant '{slug}', params.yaml has {', '.join(params.variants)}")
    return params.variants[slug]
