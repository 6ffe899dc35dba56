"""Promises of pipeline/lab/licenses.py: nothing comes in whose license isn't permissive or named in docs/supply.md."""

import pytest

from pipeline.lab import licenses
from pipeline.lab.licenses import Package
from tests.planted import ROOT


def test_every_locked_license_is_permissive_or_named():
    assert not list(licenses.problems(ROOT))
    assert len(licenses.locked(ROOT)) > 290


def test_what_is_named_is_locked_and_needs_to_be():
    named = licenses.named(ROOT)
    assert set(named) <= set(licenses.locked(ROOT))
    assert not [name for name in named if licenses.package(name).is_permissive]


@pytest.mark.parametrize(
    "license", ["MIT", "Apache-2.0 OR GPL-2.0-or-later", "BSD License; Apache Software License", "MIT AND PSF-2.0"]
)
def test_permissive_ones_pass(license):
    assert Package("x", license).is_permissive


@pytest.mark.parametrize("license", ["", "GPL-3.0-only", "MIT AND GPL-2.0-only", "Other/Proprietary License", "MIT-like"])
def test_others_do_not(license):
    assert not Package("x", license).is_permissive


def test_a_package_with_a_license_that_is_not_named_is_a_problem(tmp_path):
    (tmp_path / "requirements.lock").write_text("soxr==1.0\nnumpy==2.0\nno-such-package==1.0\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/supply.md").write_text("| `soxr` | MIT | is no longer true |\n")
    (problem,) = licenses.problems(tmp_path)
    assert problem.startswith("soxr: its license is LGPL-2.1-or-later: name it in docs/supply.md")
