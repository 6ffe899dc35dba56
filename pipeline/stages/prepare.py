"""Stage prepare: source -> corpora/NAME."""

from pipeline.prepare.run import prepare
from pipeline.project import Project, load_params
from pipeline.stages import run


def main() -> None:
    params, project = load_params(), Project()
    name = params.corpus.name
    prepare(params.corpus, project.root / params.corpus.data, project.corpus(name), project.scratch / "prepare" / name)


if __name__ == "__main__":
    run(main)
