"""Stage prepare: source -> corpora/NAME."""

from pipeline.common.command import stage_main
from pipeline.prepare.run import prepare
from pipeline.project import Project, load_params


def main() -> None:
    params, project = load_params(), Project()
    name = params.corpus.name
    prepare(params.corpus, project.root / params.corpus.data, project.corpus(name), project.scratch / "prepare" / name)


if __name__ == "__main__":
    stage_main(main)
