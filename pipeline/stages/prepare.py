"""Stage prepare: source -> corpora/NAME."""

from pathlib import Path

from pipeline import params
from pipeline.corpus.prepare import prepare
from pipeline.stages import stage_main


def main() -> None:
    corpus = params.load().corpus
    prepare(corpus, Path("corpora") / corpus.name)


if __name__ == "__main__":
    stage_main(main)
