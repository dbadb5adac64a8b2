"""The set-up: which Python is picked, and that each declared dependency is imported."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.paths import ROOT

VERSION = "{}.{}".format(*sys.version_info)
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MODULES = {
    "import-linter": "importlinter", "oidc-provider-mock": "oidc_provider_mock", "python-multipart": "python_multipart",
    "python-statemachine": "statemachine", "pyyaml": "yaml",
}  # fmt: skip
NOT_IMPORTED = {
    "import-linter": "a command of `make check`",
    "mutmut": "a command of `make mutate`",
    "mypy": "a command of `make check`",
    "ruff": "a command of `make check`",
    "pytest-asyncio": "a plugin of pytest",
    "pytest-timeout": "a plugin of pytest",
    "pytest-xdist": "a plugin of pytest, which also asks tests/conftest.py for a scheduler",
    "scipy-stubs": "types for mypy",
    "setuptools": "the build backend, installed because the lock is installed without build isolation",
    "types-jsonschema": "types for mypy",
    "types-psutil": "types for mypy",
    "types-pyyaml": "types for mypy",
}


def find_python(*folders: Path, versions: str = VERSION) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": ":".join(map(str, folders))}
    return subprocess.run(
        ["/bin/sh", ROOT / ".ci" / "find-python", *versions.split()],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def script(folder: Path, name: str, body: str) -> Path:
    folder.mkdir()
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def working(tmp_path: Path) -> Path:
    return script(tmp_path / "working", f"python{VERSION}", f'exec "{sys._base_executable}" "$@"')  # type: ignore[attr-defined]


def test_a_python_that_fails_is_passed_over(tmp_path: Path, working: Path) -> None:
    broken = script(tmp_path / "broken", f"python{VERSION}", "echo pyenv: not found >&2; exit 127")
    found = find_python(broken, tmp_path / "no such folder", working)
    assert found.stdout.strip() == sys._base_executable, found.stderr  # type: ignore[attr-defined]


def test_a_python_of_another_version_than_its_name_is_passed_over(working: Path) -> None:
    (working / "python3.99").symlink_to(working / f"python{VERSION}")
    assert find_python(working, versions="3.99").returncode == 1
    assert find_python(working, versions=f"3.99 {VERSION}").returncode == 0


def test_without_a_python_the_message_names_the_option(tmp_path: Path) -> None:
    found = find_python(tmp_path)
    assert found.returncode == 1
    assert "make PYTHON=" in found.stderr


def test_every_declared_dependency_is_imported() -> None:
    project = PYPROJECT["project"]
    declared = [
        *project["dependencies"],
        *(each for extra in project["optional-dependencies"].values() for each in extra),
    ]
    names = {re.split(r"[^A-Za-z0-9._-]", each)[0].lower() for each in declared} - NOT_IMPORTED.keys()
    files = [path for name in ("pricing_engine", "data", "serve_app", "cluster", "tests", "benchmarks")
             for path in (ROOT / name).rglob("*.py")]  # fmt: skip
    imports = re.compile(r"^\s*(?:import|from) ([a-zA-Z0-9_]+)", re.MULTILINE)
    imported = {name for path in files for name in imports.findall(path.read_text())}
    missing = {name for name in names if MODULES.get(name, name.replace("-", "_")) not in imported}
    assert not missing
