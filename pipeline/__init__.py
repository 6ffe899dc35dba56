"""Bigfoot: one large wav2vec 2.0 CTC recognizer becomes a family of small ones, and what each costs is measured."""

import logging

# transformers imports torchao, and PyTorch then tells torchao's makers, twice, of a call of theirs that it will drop.
logging.getLogger("torch.utils._pytree").addFilter(lambda record: "is an Enum subclass" not in record.getMessage())
