"""Bigfoot: one large wav2vec 2.0 CTC recognizer becomes a family of small ones, and what each costs is measured."""

import logging
import sys

# NNCF imports what compiles extensions of PyTorch, which warns where there is no GPU.
logging.getLogger("torch.utils.cpp_extension").addFilter(lambda record: "No CUDA runtime" not in record.getMessage())
# transformers imports torchao, which calls a function that PyTorch is going to remove: PyTorch warns of it twice.
logging.getLogger("torch.utils._pytree").addFilter(lambda record: "is an Enum subclass" not in record.getMessage())

# OpenVINO's converter and NNCF send usage data, without asking, where they find this package.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
