"""Stage export@VARIANT: variants/MODEL.SCHEME + its card -> exports/MODEL.SCHEME, with a folder for each layout."""

import shutil

from pipeline.common.errors import BigfootError
from pipeline.common.files import read_text
from pipeline.exports import layouts
from pipeline.project import Project, load_params
from pipeline.stages import run


def main(variant: str = "") -> None:
    params, project = load_params(), Project()
    if variant not in params.exports:
        known = ", ".join(params.exports) or "nothing"
        raise BigfootError(f"export: params.yaml exports {known}, not '{variant}': name one of them")
    out, card = project.export(variant), read_text(project.card(variant), "dvc repro compare")
    shutil.rmtree(out, ignore_errors=True)
    for layout in params.exports[variant]:
        layouts.write(project.variant(variant), out / layout, layout, card)


if __name__ == "__main__":
    run(main)
