"""Stage compare: scores + timings.json + models + corpus -> reports, which are then logged to MLflow if it is available."""

from pipeline.compare import origin
from pipeline.compare.run import compare
from pipeline.project import Project, load_params
from pipeline.stages import run
from pipeline.stages.leftovers import set_aside
from pipeline.tracking import sync


def main() -> None:
    params, project = load_params(), Project()
    variants = [variant.name for variant in params.variants.values()]
    scores = [f"{name}.json" for name in variants]
    models = ["teacher", *params.students]
    set_aside(project, {project.variants: variants, project.models: models, project.scores: scores, project.durations: scores})
    compare(params, project.root, project.reports, origin.read(project.root, params))
    _, verdict, *_ = project.table.read_text(encoding="utf-8").split("\n\n")
    print(f"{verdict}\n\nAll figures: `bigfoot table`, or {project.reports}/index.html in a browser", flush=True)
    sync.sync(params, project.root)


if __name__ == "__main__":
    run(main)
