"""`bigfoot schemes`: every scheme is described by its docstring, and the table shows how this machine runs it."""

from pathlib import Path

import pytest

from pipeline.quantize import peers_litert, table
from pipeline.quantize.base import BF16, FACTS, Scheme
from pipeline.quantize.schemes import SCHEMES
from tests.test_cli import bigfoot


@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_states_what_it_lowers_how_finely_on_what_hardware_and_its_limits(name):
    facts = SCHEMES[name].facts()
    assert tuple(facts) == FACTS and all(facts.values())
    assert all(field.description for field in SCHEMES[name].model_fields.values())
    assert bool(SCHEMES[name].features) == bool(SCHEMES[name].otherwise)


def test_facts_are_read_from_the_docstring_wherever_its_lines_break():
    class Odd(Scheme):
        """What it is.

        Lowers: all,
            and more
        Limits: none: really
        """

    assert Odd.facts() == {"Lowers": "all, and more", "Limits": "none: really"}


def test_a_cpu_without_a_feature_and_a_missing_package_are_shown(monkeypatch):
    bf16 = SCHEMES["bf16-openvino"]
    assert table.here(bf16, ["avx512_bf16"]) == "yes"
    assert table.here(bf16, ["avx2"]) == f"yes; OpenVINO computes in float32, as the CPU has none of {', '.join(BF16)}"
    monkeypatch.setattr(table, "find_spec", lambda package: package != "torch")
    assert table.here(bf16, ["avx512_bf16"]) == "runs it, can't make it without torch"
    assert table.here(SCHEMES["bf16"], []) == "no: torch is not installed"
    monkeypatch.setattr(table, "find_spec", lambda package: package != "torchao")
    assert table.here(SCHEMES["int8-torchao"], []) == "no: torchao is not installed"
    monkeypatch.setattr(table, "find_spec", lambda package: package)
    monkeypatch.setattr(peers_litert, "PYTHON", Path("nowhere"))
    assert table.here(SCHEMES["peer-litert"], []).startswith("runs it, can't make it: its converter, litert-torch, is not")


def test_the_table_has_a_row_for_every_scheme_and_its_settings_with_their_defaults(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # pytest-xdist sets 80 for its workers
    printed = bigfoot("schemes", cwd=tmp_path).stdout
    assert all(f" {name} " in printed for name in SCHEMES)
    assert all(words in printed for words in (*table.COLUMNS, "max_rise:", "0.005", "group_size: 64"))
