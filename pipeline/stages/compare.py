"""Stage compare: scores/, timings.json, models/ and corpus -> reports/, and then into MLflow where there is one."""

from pathlib import Path

from pipeline import origin, params, tracking
from pipeline.compare import compare
from pipeline.stages import stage_main


def main() -> None:
    p, root, out = params.load(), Path(), Path("reports")
    compare(p, root, out, origin.read(root, p))
    print((out / "table.txt").read_text(encoding="utf-8"), flush=True)
    tracking.sync(p, root)


if __name__ == "__main__":
    stage_main(main)
