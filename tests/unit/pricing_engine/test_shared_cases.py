"""Regression files, used if their folder is beside the checkout: the expected result of each."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from pricing_engine.analysis.measure import Settings, measure
from pricing_engine.mesh.errors import ModelError
from pricing_engine.pricing.book import load_price_book
from pricing_engine.pricing.quote import Request, quote
from tests.support.paths import SHARED_MODELS

CASES = SHARED_MODELS.parent / "cases"
EXPECTED: dict[str, dict[str, Any]] = (
    json.loads((CASES / "expected.json").read_text()) if (CASES / "expected.json").exists() else {}
)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_case_has_its_expected_result(name: str) -> None:
    """Compare volume, area, checks and verdict, or the error, with expected.json."""
    expected = EXPECTED[name]
    error_pattern = expected.get("refuse") or expected.get("or_refuse") or (".*" if expected.get("doubtful") else None)
    try:
        analysis = measure(CASES / name, None, Settings(), threads=2).analysis
    except ModelError as error:
        if error_pattern is None or not re.search(error_pattern, str(error)):
            raise
        return
    assert "refuse" not in expected
    geometry, codes = analysis.geometry, [check.code for check in analysis.checks]
    if "volume_mm3" in expected and not expected.get("any_volume"):
        assert geometry.volume_mm3 == pytest.approx(expected["volume_mm3"], rel=expected.get("rel", 1e-4))
    if "area_mm2" in expected:
        assert geometry.area_mm2 == pytest.approx(expected["area_mm2"], rel=1e-6)
    if "watertight" in expected:
        assert analysis.integrity.watertight is expected["watertight"]
    if "check" in expected:
        assert expected["check"] in codes
    for part in expected.get("no_check", ()):
        assert not any(part in code for code in codes)
    if "note" in expected:
        texts = [f"{check.code} {check.message}" for check in analysis.checks]
        assert any(expected["note"] in text for text in texts), texts
    if "verdict" in expected:
        (option,) = quote(analysis, load_price_book(), Request(materials=["silver-925"])).options
        assert option.verdict == expected["verdict"]
