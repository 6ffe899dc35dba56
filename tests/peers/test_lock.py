"""The peers' lock adds to the main one and contradicts it nowhere."""

import re
import tomllib

from tests.planted import ROOT


def versions(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ \\;]+)", (ROOT / name).read_text(), re.MULTILINE))


def test_both_locks_agree_and_the_extra_is_pinned_with_hashes():
    main, peers = versions("requirements.lock"), versions("requirements-peers.lock")
    assert {name: main[name] for name in peers if name in main} == {name: peers[name] for name in peers if name in main}
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["peers"]
    assert {re.match(r"[a-z0-9-]+", one).group() for one in extra} <= set(peers)
    text = (ROOT / "requirements-peers.lock").read_text()
    assert text.count("--hash=sha256:") > len(peers) and "http" not in text
