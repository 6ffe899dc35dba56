"""Builds the teacher to train: a wav2vec 2.0 CTC model from a config, or a pretrained model with or without a head.

Decision: everything that later stages need of a model is in its Hugging Face folder, which AutoModelForCTC and AutoProcessor
load unchanged. The use of an attention mask follows the kind of feature encoder: group-norm models ('base') are trained
without a mask, layer-norm models ('large') with one.
"""

import json
import shutil
import tempfile
import unicodedata
from pathlib import Path

from pipeline.common.errors import Away, BigfootError, is_away
from pipeline.models.folder import check_architecture, save_model
from pipeline.params import Teacher
from pipeline.speech.corpus import Corpus
from pipeline.speech.scoring import scoring
from pipeline.train.bookkeeping import Bookkeeping

HEAD_KEYS = ("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id", "ctc_loss_reduction", "ctc_zero_infinity")
BLANK, UNKNOWN, WORD_GAP = "<pad>", "<unk>", "|"


def make_teacher(settings: Teacher, data: Path, corpus: Corpus, out: Path, bookkeeping: Bookkeeping) -> dict:
    """Corpus, and the pretrained model in `data` if there is one -> models/teacher; returns its metrics.

    The model is fine-tuned, or saved unchanged where `finetune` is false: zero-shot, or UNTRAINED if built from a config.
    """
    from pipeline.train import trainer

    seed = settings.training.seed if settings.training else 0
    model, processor = build(settings, data, corpus.info["alphabet"], seed)
    if settings.training is None or not settings.finetune:
        return save_as_it_is(model, processor, corpus, out, trained=not settings.is_untrained)
    is_folder = settings.init == "pretrained" and settings.name is None
    weights = sorted([*data.glob("*.safetensors"), *data.glob("*.bin")]) if is_folder else []
    job = trainer.Job(
        model, processor, corpus, settings.training, settings, bookkeeping.fingerprint(settings, corpus, weights), bookkeeping
    )
    return trainer.train(job, out)


def build(teacher: Teacher, data: Path, alphabet: list[str], seed: int):
    """The teacher to train, and its processor: (Wav2Vec2ForCTC, Wav2Vec2Processor).

    `data`: the folder of a pretrained model without a hub name; `alphabet`: the characters of the training text, " " included.
    Raises BigfootError for an unknown config key, a folder without a wav2vec 2.0 model, or a missing folder.
    """
    import torch

    torch.manual_seed(seed)
    _check_keys(teacher.config)
    if teacher.init == "config":
        return _from_config(teacher.config, alphabet)
    return _from_pretrained(teacher, data, alphabet)


def _from_config(config: dict, alphabet: list[str]):
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    processor = _new_processor(alphabet, masked=config.get("feat_extract_norm", "group") == "layer")
    try:
        return Wav2Vec2ForCTC(Wav2Vec2Config(**config, **_head(processor))), processor
    except _not_a_model() as error:
        raise BigfootError(f"teacher.config does not describe a valid wav2vec 2.0 model: {_one_line(error)}") from None


def _from_pretrained(teacher: Teacher, data: Path, alphabet: list[str]):
    from transformers import AutoConfig, AutoProcessor, Wav2Vec2ForCTC

    source = teacher.name or str(data)
    if teacher.name is None:
        check_architecture(data)
    try:
        config = AutoConfig.from_pretrained(source, revision=teacher.revision)
        if config.model_type != "wav2vec2":
            raise BigfootError(f"teacher {source} is a '{config.model_type}' model: Bigfoot shrinks wav2vec2 models only")
        if teacher.alphabet == "model":
            processor = AutoProcessor.from_pretrained(source, revision=teacher.revision)
            # Overrides the saved value: padding changes a group-norm model's logits, with a mask or without.
            processor.feature_extractor.return_attention_mask = config.feat_extract_norm == "layer"
            check_spelling(processor, alphabet, source)
            head = {"ctc_loss_reduction": "mean", "ctc_zero_infinity": True}
        else:
            processor = _new_processor(alphabet, masked=config.feat_extract_norm == "layer")
            head = _head(processor)
        model, report = Wav2Vec2ForCTC.from_pretrained(
            source, revision=teacher.revision, ignore_mismatched_sizes=True, output_loading_info=True,
            **head, **teacher.config,
        )  # fmt: skip
    except _unloadable() as error:
        if teacher.name and is_away(error):
            raise Away(f"the hub can't be reached for teacher {source}: check the network connection") from None
        raise BigfootError(f"teacher {source} can't be loaded: {_one_line(error)}") from None
    if teacher.alphabet == "model" and any(name.startswith("lm_head") for name in report["missing_keys"]):
        raise BigfootError(f"teacher {source} has no CTC head: set teacher.alphabet to corpus and fine-tune it")
    return model, processor


def _check_keys(config: dict) -> None:
    """Raise BigfootError for keys of teacher.config that Wav2Vec2Config lacks, or that follow from the alphabet."""
    from transformers import Wav2Vec2Config

    for key in config:
        if key not in Wav2Vec2Config().to_dict():
            raise BigfootError(f"teacher.config.{key} is not a key of Wav2Vec2Config: check its spelling")
        if key in HEAD_KEYS:
            raise BigfootError(f"teacher.config.{key} follows from the alphabet and the loss: leave it out")


def check_spelling(processor, alphabet: list[str], source: str) -> None:
    """Raise BigfootError where the model's own alphabet lacks a character of the corpus."""
    vocabulary = processor.tokenizer.get_vocab()
    gap = processor.tokenizer.word_delimiter_token
    lacking = [c for c in alphabet if (gap if c == " " else c) not in vocabulary]
    if not lacking:
        return
    parts = {part for c in lacking for part in unicodedata.normalize("NFD", c)}
    if any(map(unicodedata.combining, lacking)):
        remedy = "set corpus.text.form to NFC"
    elif len(parts) > 1 and all(part in vocabulary for part in parts):
        remedy = "set corpus.text.form to NFD, its letters and accents are apart"
    else:
        remedy = "change corpus.text (upper or lower case?)"
    raise BigfootError(
        f"the alphabet of {source} has no {' '.join(map(repr, lacking))}: {remedy}, or set teacher.alphabet to corpus"
    )


def _new_processor(alphabet: list[str], masked: bool):
    """A processor with the corpus's CTC alphabet: blank 0, unknown 1, word gap 2, then the characters in order."""
    from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2Processor

    tokens = [BLANK, UNKNOWN, WORD_GAP, *sorted(c for c in alphabet if c != " ")]
    with tempfile.TemporaryDirectory() as folder:
        vocabulary = Path(folder) / "vocab.json"
        vocabulary.write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
        tokenizer = Wav2Vec2CTCTokenizer(
            str(vocabulary), bos_token=None, eos_token=None, pad_token=BLANK, unk_token=UNKNOWN,
            word_delimiter_token=WORD_GAP,
        )  # fmt: skip
    extractor = Wav2Vec2FeatureExtractor(
        feature_size=1, sampling_rate=16000, padding_value=0.0, do_normalize=True, return_attention_mask=masked
    )
    return Wav2Vec2Processor(feature_extractor=extractor, tokenizer=tokenizer)


def _head(processor) -> dict:
    """The config keys of a CTC head for this processor; transformers' defaults for both loss keys are not usable."""
    return {
        "vocab_size": len(processor.tokenizer),
        "pad_token_id": processor.tokenizer.pad_token_id,
        "bos_token_id": None,
        "eos_token_id": None,
        "ctc_loss_reduction": "mean",
        "ctc_zero_infinity": True,
    }


def _unloadable() -> tuple[type[Exception], ...]:
    """The exceptions that transformers raises for a folder or hub name that can't be loaded."""
    from safetensors import SafetensorError

    return (OSError, ImportError, SafetensorError, *_not_a_model())


def _not_a_model() -> tuple[type[Exception], ...]:
    """The errors that transformers raises for settings that don't fit together."""
    from huggingface_hub.errors import StrictDataclassError

    return (ValueError, TypeError, KeyError, RuntimeError, StrictDataclassError)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def save_as_it_is(model, processor, corpus: Corpus, out: Path, trained: bool) -> dict:
    """Save a model that learns nothing here, with its metrics, which are returned.

    `trained`: whether it has learned anything before; then its dev error rate is measured like that of any other.
    """
    from pipeline.models import inference

    dev_rate = None
    if trained:
        model = model.eval().to(inference.device_of_choice())
        errors, length = inference.dev_errors(model, processor, corpus, corpus.utterances("dev"))
        dev_rate = errors / length
    shutil.rmtree(out, ignore_errors=True)
    save_model(model.cpu(), processor, out)
    metrics = {
        "trained": trained, f"dev_{scoring(corpus.info).objective}": dev_rate,
        "params": sum(p.numel() for p in model.parameters()), "steps": 0,
        "best_step": None, "train_hours": None, "train_energy_wh": None, "energy_mode": None,
    }  # fmt: skip
    (out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    (out / "curve.jsonl").write_text("")
    return metrics
