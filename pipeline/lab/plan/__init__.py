"""The hours and the disk that `dvc repro` will take, foretold: `bigfoot check --plan`."""
