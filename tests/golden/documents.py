"""Golden documents: `facet inspect --json` and `facet quote --json` for the samples, reduced to what is compared.

docs/interface.md promises the same bytes on one kind of CPU and 1e-9 across kinds. A digest cannot compare within a
tolerance: a value next to a rounding boundary, or noise around zero, would change it between AVX2 and AVX-512. So a
document is stored three times: the digest of its bytes, compared on the kind of machine that recorded it; the digest of
all but its floats; and its floats, compared within 1e-9 on any other kind.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
import typer
from typer.testing import CliRunner

from pricing_engine import ENGINE_VERSION
from pricing_engine.cli import commands

STORED = Path(__file__).parent / "golden.json"
PRICE_BOOK = Path(__file__).parent / "price_book.toml"
"""A copy of the default book, so that new prices need no new engine version."""
TOLERANCE = 1e-9
_SAMPLES = ("band", "signet", "pendant", "pave")
_NOT_COMPARED = {"elapsed_s", "engine_version", "analysis_id", "content_id"}
_EXTRAS = [
    "--quantity=1", "--quantity=25", "--engraving=6", "--plating=rhodium", "--stones=prong=3", "--finish=mirror",
    "--partner=example-partner",
]  # fmt: skip

Json = dict[str, Any]


def cases() -> dict[str, list[str]]:
    """Return the command line of each document, by name."""
    inspects = {f"inspect {name}": ["inspect", name] for name in _SAMPLES}
    quotes = {
        f"quote {name} {process}": ["quote", name, f"--process={process}", f"--price-book={PRICE_BOOK}"]
        for name in _SAMPLES
        for process in ("casting", "resin", "powder-bed")
    }
    more = {
        "inspect signet, layers of 0.2 mm": ["inspect", "signet", "--layer-height=0.2"],
        "inspect pendant, layers of 0.025 mm": ["inspect", "pendant", "--layer-height=0.025"],
        "inspect band in inches": ["inspect", "band", "--unit=in", "--layer-height=1"],
        "quote signet casting with extras": [*quotes["quote signet casting"], *_EXTRAS],
    }
    return inspects | quotes | more


def record(folder: Path) -> Json:
    """Return the golden file's content for this engine; samples and analyses are written to ``folder``."""
    _run(["samples", str(folder)])
    documents = {}
    for name, (command, sample, *options) in cases().items():
        cache = f"--cache={folder / 'cache'}"  # one analysis for all quotes of a model
        document = json.loads(_run([command, str(folder / f"{sample}.stl"), cache, "--threads=2", "--json", *options]))
        documents[name] = reduce(document)
    return {"engine_version": ENGINE_VERSION, "machine": machine(), "documents": documents}


def machine() -> str:
    """Return the kind of this machine: what the bits of a float may depend on."""
    features = llvm.get_host_cpu_features()
    simd = next((name for name in ("avx512f", "avx2") if features.get(name)), "other")
    return f"{llvm.get_host_cpu_name()} {simd}, numba {numba.__version__}, numpy {np.__version__}"


def reduce(document: Json) -> Json:
    """Return the three forms of ``document`` that are stored."""
    compared = {key: value for key, value in document.items() if key not in _NOT_COMPARED}
    return {
        "bytes": _digest(compared), "without_floats": _digest(_blank(compared)), "floats": dict(_floats(compared))
    }  # fmt: skip


def differences(stored: Json, current: Json) -> list[str]:
    """Return what ``current`` changes in documents of ``stored``, a line each; ``current`` may hold new documents."""
    tolerance = 0.0 if stored["machine"] == current["machine"] else TOLERANCE
    return [
        f"{name}: {change}"
        for name, before in stored["documents"].items()
        if (change := _change(before, current["documents"].get(name), tolerance))
    ]


def dumps(content: Json) -> str:
    """Return the golden file's text, a document a line."""
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(each)}" for name, each in content["documents"].items())
    head = "".join(f' "{key}": {json.dumps(content[key])},\n' for key in ("engine_version", "machine"))
    return f'{{\n{head} "documents": {{\n{lines}\n }}\n}}\n'


def _run(arguments: list[str]) -> str:
    app = typer.Typer()
    commands.register(app)
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, f"{arguments}: {done.output}"
    return done.stdout


def _change(before: Json, now: Json | None, tolerance: float) -> str | None:
    """Return the first change of a document beyond ``tolerance``, or None."""
    if now is None:
        return "no longer measured"
    if before["without_floats"] != now["without_floats"] or before["floats"].keys() != now["floats"].keys():
        return "a count, a text or a key differs"
    for path, value in before["floats"].items():
        if not math.isclose(value, now["floats"][path], rel_tol=tolerance, abs_tol=tolerance):
            return f"{path} was {value!r} and is {now['floats'][path]!r}"
    return "the bytes differ" if not tolerance and before["bytes"] != now["bytes"] else None


def _floats(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Yield each float with its path, in the order of the document."""
    if isinstance(value, float):
        yield path, value
    elif isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _floats(each, f"{path}.{key}" if path else str(key))


def _blank(value: Any) -> Any:
    """Return ``value`` with null for each float."""
    if isinstance(value, dict):
        return {key: _blank(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_blank(each) for each in value]
    return None if isinstance(value, float) else value


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
