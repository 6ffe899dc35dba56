"""Stage teacher_logits: models/teacher + corpus -> logits/teacher."""

from pathlib import Path

from pipeline import params
from pipeline.stages import stage_main


def main() -> None:
    p = params.load()
    from pipeline.corpus.manifest import open_corpus
    from pipeline.logits import store_logits

    corpus = open_corpus(Path("corpora") / p.corpus.name)
    store_logits(Path("models/teacher"), corpus, p.logits.speeds, Path("logits/teacher"), p.logits.front_end)


if __name__ == "__main__":
    stage_main(main)
