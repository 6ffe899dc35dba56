"""Variants of untrained models, as wide and deep as a student would be: their size and speed are a trained student's.

Decision: every number is drawn at random, norms and biases too, because exporters store equal tensors only once.
"""

import io
import shutil
from contextlib import redirect_stdout
from pathlib import Path

from pipeline.models import families
from pipeline.models.folder import save_model
from pipeline.quantize.calibration import Calibrated
from pipeline.quantize.run import quantize
from pipeline.quantize.schemes import make
from pipeline.speech.corpus import Corpus

CALIBRATED_ON = 2  # utterances: ranges change neither size nor speed
SPREAD = 0.05


class Untrained:
    """Makes variants in the folder `room`; each replaces the one before it in its scheme."""

    def __init__(self, processor, corpus: Corpus, schemes: dict[str, dict], room: Path):
        self.processor, self.corpus, self.schemes, self.room = processor, corpus, schemes, room
        self.config: dict = {}

    def made(self, config: dict, scheme: str) -> Path:
        """The folder of a variant in this scheme of a model with this config.json, with random weights."""
        model, out = self.room / "untrained", self.room / f"untrained.{scheme}"
        if config != self.config:
            self._save(config, model)
        settings = dict(self.schemes[scheme])
        if isinstance(make(scheme, settings), Calibrated):
            settings["calibration_utterances"] = CALIBRATED_ON
        with redirect_stdout(io.StringIO()):  # NNCF's progress, of each shape
            quantize(scheme, settings, model, self.corpus, out)
        return out

    def _save(self, config: dict, folder: Path) -> None:
        import torch

        shutil.rmtree(folder, ignore_errors=True)
        self.config = {}
        kind = families.model_class(config["model_type"])
        torch.manual_seed(0)
        model = kind(kind.config_class.from_dict(config))
        with torch.no_grad():
            for tensor in model.parameters():
                tensor.add_(SPREAD * torch.randn_like(tensor))
        save_model(model, self.processor, folder)
        self.config = config
