"""Which models of a params file have too few frames for some of the texts of train: lines for `bigfoot check`."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.common.errors import BigfootError
from pipeline.distill import memory
from pipeline.params import Params, Student, Teacher
from pipeline.speech.corpus import durations, open_corpus
from pipeline.train import fitting


def lines(params: Params, root: Path, corpus: Path) -> Iterator[str]:
    """What `fitting.note` says of each model; nothing before the corpus and the teacher's shape are there."""
    try:
        train = open_corpus(corpus).utterances("train")
    except BigfootError:  # `prepare` is yet to make it, or to make it anew
        return
    configs, seconds, needed = memory.configs(params, root), durations(train), fitting.frames_needed_by(train)
    learners: dict[str, Teacher | Student] = {"teacher": params.teacher} if params.teacher.finetune else {}
    for name, settings in (learners | params.students).items():
        if name in configs and (line := fitting.note(name, settings, configs[name], seconds, needed, params.logits.speeds)):
            yield line
