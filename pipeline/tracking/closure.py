"""The modules that run a variant on one runtime, copied as a package of their own: the part of Bigfoot in a LoggedModel.

Which modules these are follows from the imports: those of pyfunc.py, of the modules it imports, and so on, function-local
imports included, so there is no list to keep up to date. Of recognition/runtimes.py and gpu.py only the runtime's own functions
count: an ONNX or OpenVINO model carries no PyTorch modules. The library of the beam search is required where the variant has
one; elsewhere hot words are refused unless it is there.

Decision: the package is named `bigfoot_` and a hash of its code, and every `from pipeline...` in it is renamed. Models
that carry the same code share it in one process, models with different code keep apart, and no other package called
`pipeline` can take its place. The price: an import has to be written as `from pipeline... import`, which can be renamed.
"""

import ast
import functools
import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from pipeline.recognition import gpu, runtimes

OWN = "pipeline"
ROOT = Path(__file__).parents[2]  # paths of modules are relative to it
ENTRY = Path(OWN, "tracking", "pyfunc.py")
BY_RUNTIME: dict[Path, Sequence[Mapping[str, Callable]]] = {  # modules with tables of functions, one for each runtime
    Path(OWN, "recognition", "runtimes.py"): (runtimes.RUNTIMES, runtimes.ON_GPU),
    Path(OWN, "recognition", "gpu.py"): (gpu.LACKING,),
}
DECODING, SEARCH = Path(OWN, "recognition", "decoding.py"), "_search"  # what imports the beam search's library


@dataclass(frozen=True)
class Closure:
    """The package's `name`, `sources` {path: text} as they are here, ENTRY included, and the `libraries` that they import."""

    name: str
    sources: dict[Path, str]
    libraries: list[str]

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write pyfunc.py and, beside it, the package, renamed, into `folder`; returns both paths."""
        entry, package = folder / ENTRY.name, folder / self.name
        for path, source in self.sources.items():
            target = entry if path == ENTRY else package / path.relative_to(OWN)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_renamed(source, path, self.name), encoding="utf-8")
        return entry, package


@functools.cache
def closure(runtime: str, searches: bool) -> Closure:
    """What pyfunc.py needs to run a variant on `runtime`, a key of runtimes.RUNTIMES; `searches`: it has a beam search."""
    others: dict[Path, Set[str]] = {
        path: {function.__name__ for table in tables for name, function in table.items() if name != runtime}
        for path, tables in BY_RUNTIME.items()
    }
    sources: dict[Path, str] = {}
    libraries: set[str] = set()
    waiting = [ENTRY]
    while waiting:
        path = waiting.pop()
        if path in sources:
            continue
        sources[path] = (ROOT / path).read_text(encoding="utf-8")
        skipped = {**others, DECODING: set() if searches else {SEARCH}}.get(path, set())
        for name in _imported(ast.parse(sources[path]), skipped):
            library = name.partition(".")[0]
            if _is_own(name):
                waiting += _files(name)
            elif library not in sys.stdlib_module_names:
                libraries.add(library)
    content = "\0".join(f"{path.as_posix()}\0{sources[path]}" for path in sorted(sources))
    return Closure(f"bigfoot_{hashlib.sha256(content.encode()).hexdigest()[:12]}", sources, sorted(libraries))


def _imported(node: ast.AST, skipped: Set[str]) -> Iterator[str]:
    """Dotted names of everything that is imported below `node`, except in functions whose names are in `skipped`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif not (isinstance(child, ast.FunctionDef) and child.name in skipped):
            yield from _imported(child, skipped)


def _files(name: str) -> Iterator[Path]:
    """The files that are run when one of our dotted names is imported: its packages' __init__.py, and its module."""
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        base = Path(*parts[:depth])
        yield from (path for path in (base / "__init__.py", base.with_suffix(".py")) if (ROOT / path).is_file())


def _renamed(source: str, path: Path, name: str) -> str:
    """The source with every `from pipeline...` as `from NAME...`."""
    lines = source.split("\n")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module and _is_own(node.module):
            line, start = lines[node.lineno - 1], node.col_offset
            lines[node.lineno - 1] = line[:start] + line[start:].replace(OWN, name, 1)
        elif (isinstance(node, ast.ImportFrom) and node.level) or (
            isinstance(node, ast.Import) and any(_is_own(alias.name) for alias in node.names)
        ):
            raise ValueError(f"{path}, line {node.lineno}: write `from {OWN}... import ...`, which can be renamed")
    return "\n".join(lines)


def _is_own(name: str) -> bool:
    return name.partition(".")[0] == OWN
