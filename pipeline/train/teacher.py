"""Builds the teacher to train: a wav2vec 2.0 CTC model from a config, or a pretrained model of any family.

Decision: everything that later stages need of a model is in its Hugging Face folder, which AutoModelForCTC and AutoProcessor
load unchanged. The use of an attention mask follows the kind of feature encoder: group-norm models ('base') are trained
without a mask, layer-norm models ('large') with one.
"""

import json
import logging
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

from pipeline.common.errors import BigfootError
from pipeline.models import families
from pipeline.models.checkpoint import Checkpoint, not_a_model, one_line
from pipeline.models.folder import save_model
from pipeline.models.vocabulary import Vocabulary
from pipeline.params import Teacher
from pipeline.speech.audio import SAMPLE_RATE
from pipeline.speech.corpus import Corpus, durations
from pipeline.speech.scoring import scoring
from pipeline.speech.text import alphabet
from pipeline.train.bookkeeping import Bookkeeping

HEAD_KEYS = ("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id", "ctc_loss_reduction", "ctc_zero_infinity")
READ = (".safetensors", ".bin", ".json")  # of a pretrained model: its weights, config, vocabulary and extractor
BLANK, UNKNOWN, WORD_GAP = "<pad>", "<unk>", "|"

log = logging.getLogger(__name__)


def make_teacher(settings: Teacher, data: Path, corpus: Corpus, out: Path, bookkeeping: Bookkeeping) -> dict:
    """Corpus, and the pretrained model in `data` if there is one -> models/teacher; returns its metrics.

    The model is fine-tuned, or saved unchanged where `finetune` is false: zero-shot, or UNTRAINED if built from a config.
    """
    from pipeline.train import fitting, trainer
    from pipeline.train.job import Job

    seed = settings.training.seed if settings.training else 0
    model, processor = build(settings, data, (utterance.text for utterance in corpus.utterances("train")), seed)
    if settings.training is None or not settings.finetune:
        return save_as_it_is(model, processor, corpus, out, trained=not settings.is_untrained)
    is_folder = settings.init == "pretrained" and settings.name is None
    train = corpus.utterances("train")
    if line := fitting.note("teacher", settings, model.config, durations(train), fitting.frames_needed_by(train)):
        log.warning(line)
    read = sorted(file for file in data.iterdir() if file.suffix in READ) if is_folder else []
    job = Job(
        model, processor, corpus, settings.training, settings, bookkeeping.fingerprint(settings, corpus, read), bookkeeping
    )
    return trainer.train(job, out)


def build(teacher: Teacher, data: Path, texts: Iterable[str], seed: int):
    """The teacher to train, and its processor: (a CTC model of any family, Wav2Vec2Processor).

    `data`: the folder of a pretrained model without a hub name; `texts`: those of train, whose characters are the alphabet.
    Raises BigfootError for an unknown config key, a folder without a model that Bigfoot shrinks, tensors that don't fit it, or
    texts that its own vocabulary can't spell.
    """
    import torch

    torch.manual_seed(seed)
    _refuse_head_keys(teacher)
    if teacher.init == "config":
        return _from_config(teacher.config, alphabet(texts))
    return _from_pretrained(teacher, data, texts)


def check(teacher: Teacher, data: Path) -> str:
    """Raise BigfootError where `teacher.config` describes no model, or the pretrained model in `data` can't be taken in: its
    files, and the names and shapes of its tensors. No values are drawn or loaded.

    Returns a line for readers where the model is on the hub and so is not looked at, or brings a language model; else "".
    """
    _refuse_head_keys(teacher)
    if teacher.init == "config":
        import torch

        with torch.device("meta"):
            _from_config(teacher.config, ["a"])
        return ""
    if teacher.name is not None:
        return f"the teacher {teacher.name} is on the hub: the stage teacher looks at it when it runs, this check does not"
    if data.is_dir():
        checkpoint = Checkpoint(str(data), is_folder=True)
        checkpoint.config()
        checkpoint.normalizes()
        own = teacher.alphabet == "model"
        size = {"vocab_size": len(checkpoint.vocabulary(teacher.target_lang).texts)} if own else {}
        checkpoint.check(not own, teacher.target_lang, size | teacher.config)
        return checkpoint.language_model()
    return ""


def _refuse_head_keys(teacher: Teacher) -> None:
    if reserved := [key for key in teacher.config if key in HEAD_KEYS]:
        raise BigfootError(f"teacher.config.{reserved[0]} follows from the alphabet and the loss: leave it out")


def _from_config(config: dict, characters: list[str]):
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    if unknown := [key for key in config if key not in Wav2Vec2Config().to_dict()]:
        raise BigfootError(f"teacher.config.{unknown[0]} is not a key of Wav2Vec2Config: check its spelling")
    families.check({"model_type": "wav2vec2"} | config, "teacher.config")
    processor = _processor(_of_corpus(characters), masked=config.get("feat_extract_norm", "group") == "layer")
    try:
        model = Wav2Vec2ForCTC(Wav2Vec2Config(**config, **_head(processor)))
    except not_a_model() as error:
        reason = f"{error} is unknown" if isinstance(error, KeyError) else one_line(error)
        raise BigfootError(f"teacher.config does not describe a valid wav2vec 2.0 model: {reason}") from None
    families.check_masks(model.config, "teacher.config")
    return model, processor


def _from_pretrained(teacher: Teacher, data: Path, texts: Iterable[str]):
    checkpoint = Checkpoint(teacher.name or str(data), is_folder=teacher.name is None, revision=teacher.revision)
    config = checkpoint.config()
    own = teacher.alphabet == "model"
    known = checkpoint.vocabulary(teacher.target_lang) if own else _of_corpus(alphabet(texts))
    if own:
        check_spelling(known, texts, checkpoint.source)
    if line := checkpoint.language_model():
        log.info("%s", line)
    masked = not families.is_group_norm(SimpleNamespace(**config))
    processor = _processor(known, masked, checkpoint.normalizes())
    settings = _head(processor) | ({"vocab_size": len(known.texts)} if own else {}) | teacher.config
    model = checkpoint.load(not own, teacher.target_lang, settings)
    return model, processor


def check_spelling(known: Vocabulary, texts: Iterable[str], source: str) -> None:
    """Raise BigfootError where the model's own tokens can't spell one of the texts of train."""
    lacking = known.lacking(texts)
    if not lacking:
        return
    parts = [part for c in lacking for part in unicodedata.normalize("NFD", c)]
    if any(map(unicodedata.combining, lacking)):
        remedy = "set corpus.text.form to NFC"
    elif len(set(parts)) > 1 and not known.lacking(parts):
        remedy = "set corpus.text.form to NFD, its letters and accents are apart"
    else:
        remedy = "change corpus.text (upper or lower case?)"
    raise BigfootError(
        f"the alphabet of {source} has no {' '.join(map(repr, lacking))}: {remedy}, or set teacher.alphabet to corpus"
    )


def _of_corpus(characters: list[str]) -> Vocabulary:
    """The corpus's CTC alphabet: blank 0, unknown 1, word gap 2, then the characters in order."""
    if WORD_GAP in characters:
        raise BigfootError(
            f"texts of train have {WORD_GAP!r}, which is the model's word gap: replace it by corpus.text.replace"
        )
    characters = sorted(c for c in characters if c != " ")
    names = {token: i for i, token in enumerate([BLANK, UNKNOWN, WORD_GAP, *characters])}
    return Vocabulary(("", "", " ", *characters), 0, names, BLANK, UNKNOWN, WORD_GAP)


def _processor(known: Vocabulary, masked: bool, normalizes: bool = True):
    """A plain processor with this vocabulary."""
    from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2Processor

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vocab.json"
        file.write_text(json.dumps(known.names))
        # transformers makes a token called None of an unknown token or a word delimiter that is None.
        tokenizer = Wav2Vec2CTCTokenizer(
            str(file), bos_token=None, eos_token=None, pad_token=known.blank_name,
            unk_token=known.unknown_name or known.blank_name, word_delimiter_token=known.gap_name or WORD_GAP,
        )  # fmt: skip
    extractor = Wav2Vec2FeatureExtractor(
        feature_size=1, sampling_rate=SAMPLE_RATE, padding_value=0.0, do_normalize=normalizes, return_attention_mask=masked
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
        "trained": trained, f"dev_{scoring(corpus.rules).objective}": dev_rate,
        "params": sum(p.numel() for p in model.parameters()), "steps": 0,
        "best_step": None, "train_hours": None, "train_energy_wh": None, "energy_mode": None,
    }  # fmt: skip
    (out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    (out / "curve.jsonl").write_text("")
    return metrics
