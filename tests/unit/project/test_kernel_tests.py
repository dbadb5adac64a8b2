"""Kernel tests (``pricing_engine/kernels``): each kernel module has a test module of its name at the mirrored path."""

from __future__ import annotations

import pytest

from tests.support.paths import ROOT

KERNELS = ROOT / "pricing_engine" / "kernels"
TESTS = ROOT / "tests" / "unit" / "pricing_engine" / "kernels"
MODULES = sorted(path.relative_to(KERNELS).as_posix() for path in KERNELS.rglob("*.py") if path.name != "__init__.py")


def test_the_kernels_are_found() -> None:
    assert "solid/winding.py" in MODULES


@pytest.mark.parametrize("module", MODULES)
def test_a_kernel_module_has_its_test_module(module: str) -> None:
    folder, _, name = module.rpartition("/")
    assert (TESTS / folder / f"test_{name}").exists()
