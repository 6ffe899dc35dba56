"""Model cards in Hugging Face's format: one per model and one per variant, from the figures of the comparison.

Decision: compare writes them to reports/cards/NAME.md, and `bigfoot export` and `bigfoot push` put them beside the model as
README.md. Written into models/NAME or variants/NAME they would change outs of earlier stages: DVC would call those stale,
disk_mb would count the card, and MLflow would take the same weights for another model. The price: a folder under models/ or
variants/ has no card until it is exported.

The front matter is for the hub (metrics as fractions, with the names and digits of comparison.json), the text for people who
want to use the model. Unknown facts are left out: base_model where the chain does not start at the hub,
emissions that were not measured.
"""

from collections.abc import Mapping
from pathlib import Path

from pipeline.benchmark.timings import REFERENCE
from pipeline.common import numbers, tables
from pipeline.common.energy import co2_g, is_modeled, range_of, widened
from pipeline.common.numbers import ABSENT, percent, points, shown, times
from pipeline.compare.comparison import Row
from pipeline.compare.figures import BY_NAME, ENERGY, places
from pipeline.compare.inputs import Evidence
from pipeline.compare.report import columns, markdown, tradeoffs
from pipeline.compare.report.cautions import cautions
from pipeline.compare.report.page.headline import UNTRAINED
from pipeline.params import Params
from pipeline.quantize import examples
from pipeline.speech.normalization import described

LIBRARIES = {"onnxruntime": "onnx", "openvino": "openvino", "torch": "transformers"}  # as the hub names them
UNKNOWN = "not measured"
FEW_WORDS = 100  # a test set with fewer distinct words has a closed vocabulary

RUN_MODEL = """```python
import soundfile, torch
from transformers import AutoModelForCTC, AutoProcessor

folder = "."  # this folder, or its name on the hub
processor, model = AutoProcessor.from_pretrained(folder), AutoModelForCTC.from_pretrained(folder, dtype="float32").eval()
samples, rate = soundfile.read("speech.wav", dtype="float32")  # mono, 16 kHz
inputs = processor(samples, sampling_rate=rate, return_tensors="pt")
with torch.inference_mode():
    logits = model(**inputs).logits
text = processor.batch_decode(logits.argmax(-1))[0]  # skip_special_tokens would make "tre" of "tree"
for token in processor.tokenizer.all_special_tokens:
    text = text.replace(token, "")
print(text)
```"""
RUN_EXAMPLE = """Mono audio at 16 kHz, without Bigfoot, in this folder:

```
pip install {packages}
python example.py speech.wav
```"""
RUN_BIGFOOT = """With Bigfoot installed, in this folder: any audio file, long recordings, and times of words:

```
bigfoot transcribe . speech.wav --format json
```"""


def write(out: Path, rows: list[Row], evidence: Evidence, params: Params) -> None:
    """MODEL.md for every compared model and MODEL.SCHEME.md for every variant into the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    by_name = {row.variant: row for row in rows}
    for model in dict.fromkeys(row.model for row in rows):
        row = by_name.get(f"{model}.fp32")
        (out / f"{model}.md").write_text(_card(model, model, row, rows[0], evidence, params), encoding="utf-8")
    for name, row in by_name.items():
        (out / f"{name}.md").write_text(_card(name, row.model, row, rows[0], evidence, params), encoding="utf-8")


def _card(name: str, model: str, row: Row | None, teacher: Row, evidence: Evidence, params: Params) -> str:
    """A card; `row` holds its figures, None for a model that was compared in other schemes only."""
    from huggingface_hub import ModelCard

    sections = [
        _opening(name, model, row, teacher, evidence, params),
        "## How it was made\n\n" + _making(name, model, row, params),
        "## Intended use\n\n" + _use(name, evidence, params),
        "## Training data\n\n" + _data(evidence),
        "## License\n\n" + _license(model, params),
        "## Metrics\n\n" + _metrics(row, teacher, evidence),
        "## Size and speed\n\n" + _speed(row, teacher, evidence),
        "## Limits\n\n" + _limits(evidence),
        "## Energy\n\n" + _energy(model, row, evidence, params),
        "## How to run it\n\n" + (RUN_MODEL if name == model else _running(name, evidence)),
    ]
    front = _front_matter(name, model, row, evidence, params)
    return str(ModelCard(f"---\n{front.to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n"))


def _running(name: str, evidence: Evidence) -> str:
    runtime, opened = evidence.runtimes[name], evidence.opened[name]
    if not examples.text(runtime, opened, name not in evidence.decodings):
        return RUN_BIGFOOT
    alone = RUN_EXAMPLE.format(packages=examples.KINDS[runtime][0])
    return "\n\n".join([*([RUN_MODEL] if runtime == "torch" else []), alone, RUN_BIGFOOT])


# ---------------------------------------------------------------- what the hub reads


def _front_matter(name: str, model: str, row: Row | None, evidence: Evidence, params: Params):
    from huggingface_hub import ModelCardData

    source = params.corpus.source
    tags = ["automatic-speech-recognition", "wav2vec2", "ctc", "bigfoot"]
    library: str | None = "transformers"
    if row and name != model:
        runs_alone = examples.text(row.runtime, evidence.opened[name], name not in evidence.decodings)
        library = LIBRARIES[row.runtime] if runs_alone else None
        tags += [row.runtime, row.scheme]
    tags += ["untrained"] if evidence.untrained else []
    tags += ["synthetic"] if evidence.corpus.get("synthetic") else []
    front = ModelCardData(
        model_name=name if row and not evidence.untrained else None,  # the model-index's
        language=_primary(params.corpus.language),
        license="unknown",  # the owner's to choose: `bigfoot push --license`
        library_name=library,
        pipeline_tag="automatic-speech-recognition",
        tags=tags,
        datasets=[source.path] if source.kind == "huggingface" and source.path else None,
        base_model=params.teacher.name if _is_derived(model, params) else None,  # on the hub, or unknown
        metrics=None if evidence.untrained else ["wer", "cer"],
        eval_results=_results(row, evidence, source) if row and not evidence.untrained else None,
    )
    if params.corpus.language != _primary(params.corpus.language):
        front["language_bcp47"] = [params.corpus.language]  # the hub takes ISO 639 codes alone as language
    if emissions := _emissions(model, evidence, params):
        front["co2_eq_emissions"] = emissions
    return front


def _primary(language: str) -> str:
    """The ISO 639 code of a BCP 47 tag: "pt" of "pt-BR"."""
    return language.split("-")[0].lower()


def _results(row: Row, evidence: Evidence, source) -> list:
    """WER and CER on dev, gate and every test set, as comparison.json has them."""
    from huggingface_hub import EvalResult

    corpus = evidence.corpus
    pretty = f"{corpus['name']} (SYNTHETIC)" if corpus.get("synthetic") else corpus["name"]
    dataset = source.path if source.kind == "huggingface" and source.path else corpus["name"]
    return [
        EvalResult(
            task_type="automatic-speech-recognition",
            task_name="Speech recognition",
            dataset_type=dataset,
            dataset_name=pretty,
            dataset_split=split,
            metric_type=metric,
            metric_name=f"{metric.upper()} on {split}, a fraction",
            metric_value=row[key],
        )
        for split, prefix, suffix in places(evidence.test_sets[0], evidence.test_sets[1:])
        for metric in ("wer", "cer")
        if row[key := f"{prefix}{metric}{suffix}"] is not None
    ]


def _emissions(model: str, evidence: Evidence, params: Params) -> dict | None:
    """The training of this model alone, in the form of the hub's key co2_eq_emissions; None where it was not measured."""
    trained = evidence.training[model]
    wh, mode = trained.get("train_energy_wh"), trained.get("energy_mode")
    grams = co2_g(wh, params.country)
    if grams is None:
        return None
    ends = [shown(co2_g(end, params.country), ".3g") for end in range_of(wh, mode, on_gpu=True) or ()]
    init = params.teacher.init if model == "teacher" else params.students[model].init
    is_new = init in ("config", "scratch")
    return {
        "emissions": grams,
        "source": f"codecarbon ({mode})" + (f", modeled: {' to '.join(ends)} g" if ends else ""),
        "training_type": "pre-training" if is_new else "fine-tuning",
        "geographical_location": params.country,
    }


# ---------------------------------------------------------------- what a person reads


def _opening(name: str, model: str, row: Row | None, teacher: Row, evidence: Evidence, params: Params) -> str:
    what = _what(model, params)
    comma = "," if "," in what else ""
    scheme = "" if name == model or row is None else f"{comma} in the scheme {row.scheme} for {row.runtime}"
    warning = f"**{UNTRAINED}**\n\n" if evidence.untrained else ""
    text = f"# {name}\n\n{warning}{what}{scheme}: a wav2vec 2.0 CTC speech recognizer made by Bigfoot."
    if row and row is not teacher and name != model:
        device = "" if row.device == "cpu" else f" on {row.device}, against the CPU,"
        faster = "" if row["speedup"] is None else f"{numbers.faster(row['speedup'], 'no faster')}{device} and "
        gains = faster + (f"{UNKNOWN} smaller" if row["shrink"] is None else numbers.smaller(row["shrink"], "no smaller"))
        text += f" Compared with teacher.fp32 it is {gains}, in one run on one machine. The budget: {row.gate.reason}."
        text += f" {tradeoffs.CURSE.format(evidence.test_sets[0])}" if row.champion else ""
    if evidence.corpus.get("synthetic"):
        origin = "Measured" if evidence.untrained else "Trained and measured"
        text += f"\n\n**{origin} on SYNTHETIC speech, spoken by no person: its figures do not apply to people.**"
    return text


def _what(model: str, params: Params) -> str:
    if model == "teacher":
        return "The teacher"
    student, first = params.students[model], _chain(model, params)[0]
    if student.ancestor is None:
        return "A small model, trained from new weights on the labels alone"
    if student.init == "scratch":
        return "A student, distilled from the teacher into new weights"
    return f"A student, shrunk from {'the teacher' if first == 'teacher' else first}"


def _making(name: str, model: str, row: Row | None, params: Params) -> str:
    """The chain from new or pretrained weights down, and those settings of each step that differ from the defaults."""
    chain = _chain(model, params)
    sections = {"teacher": params.teacher} | {f"students.{step}": params.students[step] for step in chain if step != "teacher"}
    steps = [_begun(chain[0], params), *chain]
    settings = {key: each.model_dump(mode="json", by_alias=True, exclude_defaults=True) for key, each in sections.items()}
    if row and name != model:
        steps.append(row.scheme)
        settings[f"schemes.{row.scheme}"] = params.schemes.get(row.scheme, {})
    with_what = f"by `dvc repro` with the profile {params.profile} and these settings"
    return f"{tables.escaped(' -> '.join(steps))}, {with_what}:\n\n```yaml\n{_yaml(settings)}```"


def _begun(oldest: str, params: Params) -> str:
    """What the oldest of a chain of models was made from."""
    if oldest != "teacher":
        return "new weights"
    return "a config, untrained" if params.teacher.init == "config" else params.teacher.name or str(params.teacher.data)


def _chain(model: str, params: Params) -> list[str]:
    """["teacher", "half", "thin"]: a model and those that it comes from, the oldest first."""
    chain = [model]
    while chain[0] != "teacher" and (ancestor := params.students[chain[0]].ancestor):
        chain.insert(0, ancestor)
    return chain


def _is_derived(model: str, params: Params) -> bool:
    """Whether it comes from a pretrained model."""
    return params.teacher.init == "pretrained" and _chain(model, params)[0] == "teacher"


def _yaml(content: Mapping) -> str:
    import yaml  # huggingface_hub writes the front matter with it

    return yaml.safe_dump(dict(content), sort_keys=False, width=100)


def _use(name: str, evidence: Evidence, params: Params) -> str:
    if evidence.untrained:
        return "None, except to measure the size and speed of a model of this shape."
    rules = evidence.corpus.get("text", {})
    written = f" The text follows the rules of the corpus ({described(rules)})." if rules else ""
    decoded = (
        "by beam search with a language model" if name in evidence.decodings else "greedy CTC decoding without a language model"
    )
    return (
        f"Speech to text in the language {params.corpus.language}, of recordings like those of the corpus below: mono, "
        f"16 kHz, {decoded}.{written} Speech of another kind (other speakers, "
        "microphones, noise, words or languages) has to be measured first. Not for decisions about people."
    )


def _data(evidence: Evidence) -> str:
    wanted = {"Corpus", "Train", "Dev", "Gate", "Shared", *(name.capitalize() for name in evidence.test_sets)}
    lines = [f"- {what}: {tables.escaped(fact)}" for what, fact in markdown.facts_of(evidence) if what in wanted]
    dropped = evidence.corpus.get("dropped")
    return "\n".join(lines + ([f"- Left out by the checks: {dropped:,} utterances"] if dropped else []))


def _license(model: str, params: Params) -> str:
    source = tables.escaped(_begun("teacher", params))
    base = f" It derives from {source}, whose terms apply." if _is_derived(model, params) else ""
    return (
        f"The corpus is {tables.escaped(params.corpus.license)}.{base} The license of these weights is for whoever publishes "
        "them to choose (`bigfoot push --license`); until then it is `unknown`. Bigfoot, which made them, is Apache-2.0."
    )


def _metrics(row: Row | None, teacher: Row, evidence: Evidence) -> str:
    if row is None:
        return "Not measured itself, only in other schemes: see the cards of its variants."
    if evidence.untrained:
        return "None: the model is UNTRAINED."
    sets, lines = evidence.scores[row.variant].sets, []
    for split, prefix, suffix in places(evidence.test_sets[0], evidence.test_sets[1:]):
        rates = []
        for rate in ("wer", "cer"):
            value, low, high = (row[f"{prefix}{rate}{end}{suffix}"] for end in ("", "_low", "_high"))
            rates.append(columns.with_range(value, low, high, percent))
        lines.append([split, *rates, f"{sets[split].words:,}", "-" if sets[split].wer_low is None else sets[split].unit])
    table = tables.markdown(["Set", "WER % [95%]", "CER % [95%]", "Words", "Resampled"], lines)
    objective = row.objective
    test, gate, most = (points(row[key]) for key in (f"{objective}_rise", f"gate_{objective}_rise", f"{objective}_rise_upper"))
    first = evidence.test_sets[0]
    rise = (
        f"Rise in {objective.upper()} over teacher.fp32: {test} points on {first}, {gate} on gate, where it is at most {most}."
    )
    remark = f" {beside}" if (beside := tradeoffs.beside(row, teacher, first)) else ""
    return f"{table}\n\n{rise}{remark} dev chose and gate judged; no test set did."


IN_CARD = ("params", "disk_mb", "int8_share", "latency_p50_ms", "latency_p95_ms", "rtfx", "ram_mb", "ram_model_mb")


def _speed(row: Row | None, teacher: Row, evidence: Evidence) -> str:
    if row is None:
        return "Not measured itself: see the cards of its variants."
    lines = []
    for figure in (BY_NAME[name] for name in IN_CARD):
        heading = f"{figure.label[0].upper()}{figure.label[1:]}, {figure.shown_unit}"
        lines.append([heading, *(figure.show(each[figure.name], UNKNOWN) for each in (row, teacher))])
    faster = columns.with_range(row["speedup"], row["speedup_low"], row["speedup_high"], lambda value: times(value, UNKNOWN))
    lines += [["Faster", faster, times(1)], ["Smaller", times(row["shrink"], UNKNOWN), times(1)]]
    splits = {
        "Smaller by parameters, precision, rest": columns.split_of_the_gain,
        "Parameters at 4 bytes, minus what precision saves, plus the rest, MB": columns.split_of_the_size,
    }
    lines += [[what, show(row), show(teacher)] for what, show in splits.items() if show(row) != ABSENT]
    for figure in (BY_NAME[f"{gain}_over_{precision}"] for precision in ("float", "int8") for gain in ("speedup", "shrink")):
        if row[figure.name] is not None:
            lines.append(
                [f"{figure.heading}: the teacher's fastest", *(times(each[figure.name], UNKNOWN) for each in (row, teacher))]
            )
    said = [*markdown.timing_facts(evidence.timings), *(("Beware", caution) for caution in cautions(evidence.timings))]
    facts = [f"- {what}: {tables.escaped(fact)}" for what, fact in said]
    table = tables.markdown(["", row.timed_as, "teacher.fp32"], lines)
    return f"Of the variant {row.timed_as} ({row.runtime}), batch 1.\n\n{table}\n\n" + "\n".join(facts)


def _limits(evidence: Evidence) -> str:
    corpus, first = evidence.corpus, evidence.test_sets[0]
    limits = []
    if corpus.get("synthetic"):
        limits.append("SYNTHETIC speech throughout: how well it recognizes people is unknown.")
    distinct = {word for row in evidence.scores[REFERENCE].sets[first].hypotheses for word in row.reference.split()}
    if distinct and len(distinct) < FEW_WORDS:
        limits.append(
            f"Closed vocabulary: the {first} set has {len(distinct)} distinct words; it will recognize other words as these."
        )
    if any(count for pair, count in corpus.get("leaks", {}).get("shared_speaker", {}).items() if pair.startswith("train-")):
        limits.append(
            "Known speakers: speakers of train are in dev, gate or test too, so its errors on new voices will be more."
        )
    limits.append("The speeds were measured on the machine named above; on others the ranking of the runtimes may differ.")
    limits.append("Utterances much longer or noisier than the corpus's were not measured.")
    return "\n".join(f"- {limit}" for limit in limits)


def _energy(model: str, row: Row | None, evidence: Evidence, params: Params) -> str:
    trained, chain = evidence.training[model], _chain(model, params)
    mode, spent, lines = trained.get("energy_mode"), trained.get("train_energy_wh"), []
    if spent is None:
        lines.append("- Training of this model: not measured.")
    else:
        hours, ends = shown(trained.get("train_hours"), ".2f", " h", UNKNOWN), range_of(spent, mode, on_gpu=True)
        used = _used(spent, ends, params.country)
        lines.append(f"- Training of this model: {hours}, {used} (codecarbon, {mode}; country {params.country}).")
        runs = [evidence.training.get(each, {}) for each in chain]
        costs = [wh for run in runs if (wh := run.get("train_energy_wh")) is not None]
        if len(chain) > 1 and len(costs) == len(chain):
            together = widened(sum(costs)) if any(is_modeled(run.get("energy_mode"), on_gpu=True) for run in runs) else None
            total = columns.with_model(sum(costs), together, _wh)
            lines.append(f"- Together with its ancestors ({', '.join(chain[:-1])}): {total}.")
    if row and (wh := row[ENERGY]) is not None:
        low, high = row[f"{ENERGY}_low"], row[f"{ENERGY}_high"]
        ends = None if low is None or high is None else (low, high)
        lines.append(f"- Inference, one hour of audio: {_used(wh, ends, params.country)}.")
    return "\n".join(lines)


def _used(wh: float, ends: tuple[float, float] | None, country: str) -> str:
    """Energy and its CO2, each with its range where it is modeled."""
    co2 = [co2_g(value, country) for value in (wh, *(ends or ()))]
    return f"{columns.with_model(wh, ends, _wh)}, {columns.with_model(co2[0], co2[1:], _grams)}"


def _wh(value: float | None) -> str:
    return shown(value, ".3g", " Wh", UNKNOWN)


def _grams(value: float | None) -> str:
    return shown(value, ".3g", " g CO2", UNKNOWN)
