"""The locks of optional groups add to the main one and contradict it nowhere."""

import re
import tomllib

import pytest

from tests.planted import ROOT


def versions(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ \\;]+)", (ROOT / name).read_text(), re.MULTILINE))


@pytest.mark.parametrize("group", ["peers", "remote", "audit", "lm"])
def test_both_locks_agree_and_the_extra_is_pinned_with_hashes(group):
    main, own = versions("requirements.lock"), versions(f"requirements-{group}.lock")
    assert {name: main[name] for name in own if name in main} == {name: own[name] for name in own if name in main}
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"][group]
    assert {re.match(r"[a-z0-9-]+", requirement).group() for requirement in extra} <= set(own)
    text = (ROOT / f"requirements-{group}.lock").read_text()
    assert text.count("--hash=sha256:") > len(own) and "://" not in text


def test_the_converter_of_litert_opens_what_bigfoots_pytorch_saves_and_writes_what_its_runtime_opens():
    main, peers, own = (versions(f"requirements{name}.lock") for name in ("", "-peers", "-litert"))
    assert own["torch"] == main["torch"] and own["ai-edge-litert"] == peers["ai-edge-litert"]
