"""Changes in a params file, whose comments and order stay."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.common.files import write_whole


@contextmanager
def edited(file: Path) -> Iterator[Any]:
    """The file's content, to be changed in place; it is written at the end, unless the block raises."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes, yaml.width = True, 4096
    content = yaml.load(file)
    yield content
    text = io.StringIO()
    yaml.dump(content, text)
    write_whole(file, text.getvalue())
