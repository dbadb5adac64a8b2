"""The warm-up compiles each kernel that Python calls, so that no customer's model waits for a compiler."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pricing_engine

_PACKAGE = Path(pricing_engine.__file__).parent
_COMPILED = {"kernel", "uncounted", "inlined"}


def _decorators(function: ast.FunctionDef) -> set[str]:
    return {decorator.id for decorator in function.decorator_list if isinstance(decorator, ast.Name)}


def kernels_called_by_python() -> list[tuple[str, str]]:
    """Return module and name of each function with the decorator ``kernel`` that no compiled function calls."""
    kernels, called = [], set()
    for path in sorted(_PACKAGE.rglob("*.py")):
        module = ".".join(path.relative_to(_PACKAGE.parent).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and _decorators(node) & _COMPILED:
                called |= {name.id for name in ast.walk(node) if isinstance(name, ast.Name) and name.id != node.name}
                if "kernel" in _decorators(node):
                    kernels.append((module, node.name))
    return [(module, name) for module, name in kernels if name not in called]


def test_every_kernel_is_compiled_by_the_warm_up() -> None:
    """In a process of its own, where no other test has called any."""
    output = subprocess.check_output([sys.executable, "-m", __name__], text=True, cwd=_PACKAGE.parent)
    assert output.split() == []
    assert len(kernels_called_by_python()) > 70


if __name__ == "__main__":
    from pricing_engine.analysis.warmup import compile_measurements, compile_readers

    compile_measurements()
    compile_readers()
    for module, name in kernels_called_by_python():
        if not getattr(importlib.import_module(module), name).signatures:
            print(f"{module}.{name}")
