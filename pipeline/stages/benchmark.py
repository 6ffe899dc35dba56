"""Stage `benchmark`: all variants of params, measured in one run on this host -> timings.json."""

from pathlib import Path

from pipeline import params
from pipeline.benchmark import benchmark
from pipeline.corpus.manifest import open_corpus
from pipeline.stages import stage_main


def main() -> None:
    settings = params.load()
    folders = [Path("variants") / variant.name for variant in settings.variants.values()]
    corpus = open_corpus(Path("corpora") / settings.corpus.name)
    benchmark(folders, corpus, settings.benchmark, Path("timings.json"))


if __name__ == "__main__":
    stage_main(main)
