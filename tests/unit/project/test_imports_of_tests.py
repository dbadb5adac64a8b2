"""Imports of tests: what tests share lies in ``tests/support``, so that no test module imports another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

MODULES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("*.py"))


def imported_names(tree: ast.AST) -> Iterator[str]:
    """Yield the full names of imported modules, and of what is imported from them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def found_in(source: str) -> list[str]:
    """Return the imported names of which a module is a test module."""
    names = imported_names(ast.parse(source))
    return sorted({name for name in names if any(part.startswith("test_") for part in name.split("."))})


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_no_test_module(module: str) -> None:
    assert found_in(Path(ROOT, module).read_text(encoding="utf-8")) == []


class TestTheSearch:
    @pytest.mark.parametrize(
        "source",
        [
            "from tests.unit.data.test_projection import life",
            "from tests.unit.data import test_projection",
            "import tests.unit.data.test_projection",
            "from . import test_projection",
            "def later():\n    from tests.unit.test_a.test_b import c",
        ],
    )
    def test_it_finds(self, source: str) -> None:
        assert found_in(source)

    @pytest.mark.parametrize("source", ["from tests.support import meshes", "from fastapi.testclient import Client"])
    def test_it_leaves_other_imports(self, source: str) -> None:
        assert found_in(source) == []
