"""Numbers change with ENGINE_VERSION alone, and a release of the services leaves cached analyses valid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data import version
from pricing_engine import ENGINE_VERSION
from pricing_engine.analysis.measure import Settings, analysis_id
from tests.golden.documents import STORED, Json, cases, differences, record
from tests.golden.update import refusal

STORED_CONTENT: Json = json.loads(STORED.read_text())
HINT = "python -m tests.golden.update"


def test_numbers_change_with_the_engine_version_alone(tmp_path: Path) -> None:
    stored, current = STORED_CONTENT["engine_version"], ENGINE_VERSION
    assert stored == current, f"golden.json is of engine {stored}, this is {current}: {HINT}"
    changed = "\n".join(differences(STORED_CONTENT, record(tmp_path)))
    assert not changed, f"{changed}\nwhere this is meant, raise ENGINE_VERSION, then {HINT}"


def test_every_case_is_stored() -> None:
    assert list(STORED_CONTENT["documents"]) == list(cases()), HINT


def changed(machine: str, add: float = 0.0, **keys: str) -> Json:
    """Return the stored content as recorded on ``machine``, with ``add`` to one float and ``keys`` replaced."""
    content: Json = json.loads(json.dumps(STORED_CONTENT)) | {"machine": machine} | keys
    document = content["documents"]["inspect band"]
    document["floats"]["geometry.volume_mm3"] += add
    document["bytes"] += "changed" if add else ""
    return content


@pytest.mark.parametrize(("add", "same_kind", "other_kind"), [(0.0, 0, 0), (1e-10, 1, 0), (1e-6, 1, 1)])
def test_one_kind_of_machine_compares_bytes_and_another_within_the_tolerance(
    add: float, same_kind: int, other_kind: int
) -> None:
    assert len(differences(STORED_CONTENT, changed(STORED_CONTENT["machine"], add))) == same_kind
    assert len(differences(STORED_CONTENT, changed("another", add))) == other_kind


def test_a_change_names_the_number() -> None:
    (line,) = differences(STORED_CONTENT, changed("another", 1.0))
    assert line.startswith("inspect band: geometry.volume_mm3 was ")


def test_changed_numbers_are_stored_for_a_new_engine_version_alone() -> None:
    assert "raise ENGINE_VERSION" in (refusal(STORED_CONTENT, changed("another", 1.0)) or "")
    assert refusal(STORED_CONTENT, changed("another", 1.0, engine_version="99.0.0")) is None
    assert refusal(STORED_CONTENT, changed("another")) is None


def test_a_release_of_the_services_leaves_cached_analyses_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    before = analysis_id("0" * 64, "mm", Settings())
    monkeypatch.setattr(version, "PRODUCT_VERSION", "99.0.0")
    monkeypatch.setattr("importlib.metadata.version", lambda _: "99.0.0")
    assert analysis_id("0" * 64, "mm", Settings()) == before
    monkeypatch.setattr("pricing_engine.analysis.measure.ENGINE_VERSION", "99.0.0")
    assert analysis_id("0" * 64, "mm", Settings()) != before
