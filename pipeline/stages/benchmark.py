"""Stage benchmark: all variants of params + corpus -> timings.json, measured in one run on this host."""

from pipeline.benchmark.run import benchmark
from pipeline.project import Project, load_params
from pipeline.speech.corpus import open_corpus
from pipeline.stages import run
from pipeline.stages.leftovers import set_aside


def main() -> None:
    params, project = load_params(), Project()
    names = [variant.name for variant in params.variants.values()]
    set_aside(project, {project.variants: names})
    folders = [project.variant(name) for name in names]
    benchmark(params.benchmark, folders, open_corpus(project.corpus(params.corpus.name)), project.timings)


if __name__ == "__main__":
    run(main)
