"""The report of mutants: its score, and what fails it."""

from __future__ import annotations

import tomllib

import pytest

from tests.support.mutation_report import SURVIVORS, parse, report
from tests.support.paths import ROOT

STATUSES = {f"module.x_f__mutmut_{number}": "killed" for number in range(1, 10)} | {"module.x_g__mutmut_1": "survived"}
REASONS = {"module.x_g__mutmut_1": "equivalent: zero is falsy too"}


def test_results_and_reasons_are_lines_of_a_name_and_a_text() -> None:
    lines = ["# names: of mutants", "", "    a.x_f__mutmut_1: survived\n", "a.x_f__mutmut_2: a: b"]
    assert parse(lines) == {"a.x_f__mutmut_1": "survived", "a.x_f__mutmut_2": "a: b"}


def test_an_explained_survivor_is_printed_with_its_reason() -> None:
    lines, faults = report(STATUSES, REASONS)
    assert lines == [
        "module.x_g__mutmut_1: survived: equivalent: zero is falsy too",
        "10 mutants, 1 survived: score 90.0 % (at least 85 %)",
    ]
    assert faults == []


@pytest.mark.parametrize("status", ["survived", "no tests", "timeout", "suspicious", "segfault", "not checked"])
def test_what_is_not_killed_needs_a_reason(status: str) -> None:
    _, faults = report(STATUSES | {"module.x_g__mutmut_1": status}, {})
    assert faults == ["module.x_g__mutmut_1: kill it by a test, or give its reason (mutmut show NAME)"]


def test_a_reason_for_no_survivor_is_a_fault() -> None:
    _, faults = report(STATUSES, REASONS | {"module.x_f__mutmut_1": "killed since", "module.x_h__mutmut_1": "deleted"})
    assert faults == [
        "module.x_f__mutmut_1: no survivor has this name; remove its reason",
        "module.x_h__mutmut_1: no survivor has this name; remove its reason",
    ]


def test_a_score_below_the_floor_is_a_fault() -> None:
    statuses = STATUSES | {"module.x_f__mutmut_1": "survived"}
    reasons = REASONS | {"module.x_f__mutmut_1": "equivalent"}
    assert report(statuses, reasons)[1] == ["the score is below 85 %"]
    assert report({}, {})[1] == ["the score is below 85 %"]


def test_each_line_of_the_list_names_a_mutant_and_a_reason() -> None:
    for name, reason in parse(SURVIVORS.read_text("utf-8").splitlines()).items():
        assert "__mutmut_" in name
        assert reason


def test_the_mutated_modules_and_their_tests_exist() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mutmut"]
    paths = [*settings["only_mutate"], *settings["pytest_add_cli_args_test_selection"]]
    assert [path for path in paths if not (ROOT / path).exists()] == []
