"""The comparison with peers as Markdown, written from peers.json alone: the facts, one table, what each row is."""

MISSING = "-"
AS_WELL = 0.01  # how far a WER may lie above the reference's for a speed to be compared: a point
ROUNDING = 1e-9


def page(facts: dict) -> str:
    """peers.md."""
    return f"# Peers\n\n{body(facts)}\n"


def body(facts: dict) -> str:
    """The same without a heading, for a page that has its own."""
    lines = [verdict(facts), "", *(f"- **{what}**: {said}" for what, said in _told(facts)), ""]
    lines += _table(facts)
    lines += ["", "What the rows are:", ""]
    lines += [f"- {row['name']}: {_escaped(row['about'])}" for row in facts["rows"] if row["about"]]
    return "\n".join(lines)


def verdict(facts: dict) -> str:
    """One sentence on the fastest peer and the fastest of Bigfoot's variants, of those that hear as well as the reference."""
    key = _typical(facts)
    ran = [row for row in facts["rows"] if row["reason"] is None and row["latency"][key]["speedup"] is not None]
    parts, best = [], []
    for who, label in (("peer", "the fastest peer"), ("Bigfoot", "the fastest of Bigfoot's variants")):
        rows = [
            row
            for row in ran
            if row["who"] == who and row["name"] != facts["reference"] and row["wer_delta"] <= AS_WELL + ROUNDING
        ]
        if rows:
            best.append(max(rows, key=lambda row: row["latency"][key]["speedup"]))
            faster, rise = _speedup(best[-1]["latency"][key]), _points(best[-1]["wer_delta"])
            parts.append(f"{label} is {best[-1]['name']}: {faster}, WER {rise} points")
    if len(best) == 2 and _overlap(*(row["latency"][key] for row in best)):
        parts.append("their intervals overlap, so neither is faster beyond this run's noise")
    summary = "; ".join(parts) or "nothing else was measured"
    as_well = f"among what is within {_points(AS_WELL)} points of its WER"
    return f"On {key} s of audio, against {facts['reference']}, {as_well}: {summary}."


def _overlap(one: dict, other: dict) -> bool:
    return one["speedup_low"] <= other["speedup_high"] and other["speedup_low"] <= one["speedup_high"]


def _typical(facts: dict) -> str:
    """The length that a single figure is of: 10 s, or the longest there is."""
    return str(10 if 10 in facts["seconds"] else max(facts["seconds"]))


def _told(facts: dict) -> list[tuple[str, str]]:
    host, corpus, batch = facts["host"], facts["corpus"], facts["batch"]
    made = ", SYNTHETIC speech" if corpus["synthetic"] else ""
    lengths = ", ".join(map(str, facts["seconds"]))
    unit = next((row["unit"] for row in facts["rows"] if row["reason"] is None), "utterances")
    return [
        (
            "Model",
            f"{facts['model']['name']}, {facts['model']['params'] / 1e6:.2f} M parameters; the same weights in every row",
        ),
        (
            "WER",
            f"{corpus['name']}{made}, {corpus['test']}: {corpus['utterances']:,} utterances, {corpus['words']:,} words; greedy "
            f"decoding; intervals: 95%, resampling {unit}",
        ),
        (
            "Latency",
            f"{lengths} s of the test set's audio, batch 1, from float array to text: median [quartiles] of {facts['rounds']} "
            f"shuffled rounds, {facts['clips']} clips a length, {facts['threads']} threads; faster: ratio of sums [95%, "
            "resampling rounds]",
        ),
        ("Batch", f"{batch['size']} utterances of {batch['seconds']:.2f} s: seconds of audio a second, median [quartiles]"),
        (
            "Machine",
            f"{host['name']}: {host['cpu']}, {host['cores']} cores, {host['memory_gb']:.0f} GB, "
            f"{', '.join(host['features']) or 'no int8 or bf16 features'}, {host['os']}, Python {host['python']}; "
            f"{facts['measured_at'][:16].replace('T', ' ')} UTC, load before {host['load_before']:.2f}",
        ),
        ("Versions", ", ".join(f"{name} {version}" for name, version in facts["versions"].items() if version)),
    ]


def _table(facts: dict) -> list[str]:
    """Fastest first, the reference above all, and at the end what couldn't run, with its reason."""
    key = _typical(facts)
    ran = [row for row in facts["rows"] if row["reason"] is None]
    ran.sort(key=lambda row: (row["name"] != facts["reference"], row["latency"][key]["ms"]))
    heads = ["Row", "Whose", "MB", "Smaller"]
    for seconds in facts["seconds"]:
        heads += [f"{seconds} s, ms", f"{seconds} s, faster"]
    heads += [f"Batch {facts['batch']['size']}, RTFx", "Batch, faster", "WER %", "Rise, points", "At most", "Texts that differ"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(_cells(row, facts))} |" for row in ran]
    for row in facts["rows"]:
        if row["reason"] is not None:
            cells = [row["name"], row["who"], f"can't run: {_escaped(row['reason'])}"]
            lines.append(f"| {' | '.join(cells + [MISSING] * (len(heads) - len(cells)))} |")
    return lines


def _cells(row: dict, facts: dict) -> list[str]:
    cells = [row["name"], row["who"], f"{row['disk_mb']:.2f}", f"{row['shrink']:.1f}x"]
    for seconds in facts["seconds"]:
        one = row["latency"][str(seconds)]
        cells += [f"{one['ms']:.1f} [{one['ms_q25']:.1f}, {one['ms_q75']:.1f}]", _speedup(one)]
    batch = row["throughput"]
    cells += [f"{batch['rtfx']:.0f} [{batch['rtfx_q25']:.0f}, {batch['rtfx_q75']:.0f}]", _speedup(batch)]
    cells += [f"{100 * row['wer']:.2f} [{100 * row['wer_low']:.2f}, {100 * row['wer_high']:.2f}]"]
    differ = MISSING if row["texts_differ"] is None else f"{row['texts_differ']} of {facts['corpus']['utterances']}"
    return [*cells, _points(row["wer_delta"]), _points(row["wer_rise_upper"]), differ]


def _speedup(one: dict) -> str:
    if one["speedup"] is None:
        return MISSING
    return f"{one['speedup']:.2f}x [{one['speedup_low']:.2f}, {one['speedup_high']:.2f}]"


def _points(fraction: float | None) -> str:
    return MISSING if fraction is None else f"{100 * fraction:+.2f}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
