"""Bigfoot: one large wav2vec 2.0 CTC recognizer becomes a family of small ones, and what each costs is measured."""

import logging

# transformers imports torchao, which calls a function that PyTorch is going to remove: PyTorch warns of it twice.
logging.getLogger("torch.utils._pytree").addFilter(lambda record: "is an Enum subclass" not in record.getMessage())
