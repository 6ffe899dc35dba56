"""What sherpa-onnx needs beside the graph: tokens.txt, in which the blank is <blk> and U+2581 begins a word.

It opens the graph as its omnilingual CTC model, the one that takes raw audio. It normalizes that audio, whatever the model was
trained on, reads tokens.txt by spaces, and drops or rewrites some tokens.
"""

import re

_MANGLED = re.compile(r"SIL|<.*>|.*\s.*|\u2581.*", re.DOTALL)
FRAME = 320  # samples: it takes a frame for 20 ms


def obstacle(info: dict) -> str | None:
    """Why sherpa-onnx can't run a variant; None where it can."""
    if not info["normalize"]:
        return "it normalizes all audio, and this model was trained on audio as it is"
    for text in info["vocab"]:
        if text != " " and _MANGLED.fullmatch(text):
            return f"it would not print the token {text!r} as it is"
    return None


def tokens(info: dict) -> str:
    """tokens.txt: a token and its id per line."""
    silent = ("<blk>" if index == info["blank"] else f"<{index}>" for index in range(len(info["vocab"])))
    names = ["\u2581" if text == " " else text or name for text, name in zip(info["vocab"], silent, strict=True)]
    return "".join(f"{name} {index}\n" for index, name in enumerate(names))
