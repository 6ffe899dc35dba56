"""The file of an n-gram language model: which are read, and the words that one knows.

ARPA files, compressed or not, and KenLM's binaries. KenLM itself reads them, in C++, and crashes on some headers that no tool
writes, so an ARPA file's header is checked here. A binary is mapped into memory unchecked: take one only from whom you trust.
"""

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from pipeline.common.errors import BigfootError

END = "</s>"
SPECIAL = ("<s>", END, "<unk>")  # words that are in every language model and in no text
BINARY, GZIP = b"mmap lm http://kheafield.com/code", b"\x1f\x8b"  # how the files begin
COUNT = re.compile(r"ngram ([1-9])=(\d{1,12})")


def words(path: Path) -> list[str]:
    """The words of a language model: an ARPA file's own, of a KenLM binary those of unigrams.txt beside it.

    Raises BigfootError where it is neither.
    """
    if not path.is_file():
        raise BigfootError(f"{path} is missing, the variant is incomplete: copy it again, or quantize again")
    with path.open("rb") as file:
        begin = file.read(len(BINARY))
    beside = path.with_name("unigrams.txt")
    if begin == BINARY and not beside.is_file():
        raise BigfootError(f"{path} is a KenLM binary, which keeps no words: put them into {beside}, one a line")
    try:
        if begin == BINARY:
            found = beside.read_text(encoding="utf-8").split()
        else:
            with (gzip.open if begin.startswith(GZIP) else open)(path, "rt", encoding="utf-8") as lines:
                found = list(_unigrams(lines))
    except (OSError, EOFError, ValueError, zlib.error):
        found = []
    if not found:
        raise BigfootError(f"{path} is not a language model: give an ARPA file (.arpa or .arpa.gz), or KenLM's binary of one")
    return [word for word in found if word not in SPECIAL]


def _unigrams(lines: Iterator[str]) -> Iterator[str]:
    """The words of an ARPA file; raises ValueError where its header is not as it should be."""
    header = []
    for line in lines:
        if line.strip() == "\\1-grams:":
            break
        header.append(line.strip())
    begin, *counts = filter(None, header)
    orders = [int(match[1]) for count in counts if (match := COUNT.fullmatch(count))]
    if begin != "\\data\\" or len(orders) < len(counts) or not orders or orders != list(range(1, len(orders) + 1)):
        raise ValueError("the header")
    for line in lines:
        if line.startswith("\\"):
            break
        if parts := line.split():
            yield parts[1] if len(parts) > 1 else ""
