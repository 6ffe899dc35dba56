"""The paper's scale where there is no GPU, no LibriSpeech and no pretrained weight: the true shapes, UNTRAINED, measured.

Size, speed, memory and energy depend on a model's shape, precision and runtime, not on what its weights have learned; word
errors do, so none are counted. Nothing is trained and nothing pretends to be: models are drawn from a config or cut from
one another, then go through the same `student.build`, `schemes.quantize` and `benchmark` as those of `dvc repro`.
"""
