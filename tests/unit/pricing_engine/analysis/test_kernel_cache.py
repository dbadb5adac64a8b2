"""Cached kernels are discarded when a source that they are compiled from has changed, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from pricing_engine.analysis.kernel_cache import discard_stale, sources_digest


@pytest.fixture
def package(tmp_path: Path) -> Path:
    (tmp_path / "kernels" / "__pycache__").mkdir(parents=True)
    (tmp_path / "kernels" / "sum.py").write_text("def add(): ...\n")
    (tmp_path / "kernels" / "vec.py").write_text("def dot(): ...\n")
    (tmp_path / "reader.py").write_text("from pricing_engine.kernels.runtime.compile import kernel\n")
    (tmp_path / "prices.py").write_text("def price(): ...\n")
    compile_kernels(tmp_path)
    return tmp_path


def compile_kernels(package: Path) -> None:
    for suffix in ("nbi", "1.nbc"):
        (package / "kernels" / "__pycache__" / f"sum.add-1.py311.{suffix}").write_bytes(b"machine code")


def test_kernels_of_unknown_sources_are_discarded(package: Path) -> None:
    assert discard_stale(package) == 2
    assert list(package.rglob("*.nb?")) == []


def test_kernels_of_the_same_sources_stay(package: Path) -> None:
    discard_stale(package)
    compile_kernels(package)
    assert discard_stale(package) == 0
    assert len(list(package.rglob("*.nb?"))) == 2


def test_sources_without_kernels_may_change(package: Path) -> None:
    discard_stale(package)
    compile_kernels(package)
    (package / "prices.py").write_text("def price(): return 1\n")
    assert discard_stale(package) == 0


@pytest.mark.parametrize("change", ["edit a helper", "rename a helper", "remove a helper", "edit a reader"])
def test_any_change_of_a_kernel_discards_them(package: Path, change: str) -> None:
    discard_stale(package)
    compile_kernels(package)
    helper = package / "kernels" / "vec.py"
    if change == "edit a helper":
        helper.write_text("def dot(): return 1\n")
    elif change == "rename a helper":
        helper.rename(helper.with_name("vector.py"))
    elif change == "edit a reader":
        with (package / "reader.py").open("a") as file:
            file.write("def scan(): ...\n")
    else:
        helper.unlink()
    assert discard_stale(package) == 2


def test_moved_text_is_a_change(package: Path) -> None:
    before = sources_digest(package)
    (package / "kernels" / "sum.py").write_text("def dot(): ...\n")
    (package / "kernels" / "vec.py").write_text("def add(): ...\n")
    assert sources_digest(package) != before
