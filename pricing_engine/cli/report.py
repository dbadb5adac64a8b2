"""Render the report: a self-contained HTML page with the model in 3D, the checks and the price."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pricing_engine.cli.errors import WrongUsage
from pricing_engine.kernels.mesh import Mesh

if TYPE_CHECKING:
    from pricing_engine.analysis.measure import Measured
    from pricing_engine.pricing.quote import Quote

MAX_FACETS = 150_000
_TEMPLATES = Path(__file__).with_name("templates")


def write_report(out: Path, name: str, measured: Measured, quote: Quote) -> None:
    """Write the page to ``out``; raises WrongUsage if it can't be written."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = lambda value, places=2: "not measured" if value is None else f"{value:,.{places}f}"
    environment.filters["percent"] = lambda share: "not measured" if share is None else f"{share:.1%}"
    scene = _scene(measured.mesh, measured.facet_thickness)
    page = environment.get_template("report.html").render(
        name=name,
        analysis=measured.analysis,
        quote=quote,
        scene=json.dumps(scene),
        viewer=(_TEMPLATES / "viewer.js").read_text(),
        places=json.dumps([check.where_mm for check in measured.analysis.checks]),
    )
    try:
        out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise WrongUsage(f"{out}: can't be written ({error.strerror}); name another file with -o") from error


def _scene(mesh: Mesh, thickness: np.ndarray[Any, np.dtype[Any]]) -> dict[str, Any]:
    """Return positions (16 bits), indices and thickness by facet (1/100 mm, 255 for 2.55 mm or more), as base64."""
    vertices, facets, thickness = _simplify(mesh, thickness)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    scale = float((high - low).max()) or 1.0
    packed = np.where(np.isfinite(thickness), np.clip(np.round(thickness * 100), 0, 255), 255)
    return {
        "low": low.tolist(),
        "scale": scale,
        "size": (high - low).tolist(),
        "simplified": len(facets) < mesh.facet_count,
        "positions": _base64(np.round((vertices - low) / scale * 65535).astype("<u2")),
        "facets": _base64(facets.astype("<u4")),
        "thickness": _base64(packed.astype(np.uint8)),
    }


def _simplify(mesh: Mesh, thickness: Any) -> tuple[Any, Any, Any]:
    """Merge the vertices of a large mesh on a grid until at most MAX_FACETS remain: for rendering, not measuring."""
    vertices, facets = mesh.vertices, mesh.facets
    cells = 700
    while len(facets) > MAX_FACETS:
        low = mesh.vertices.min(axis=0)
        step = float((mesh.vertices.max(axis=0) - low).max()) / cells or 1.0
        grid = np.floor((mesh.vertices - low) / step).astype(np.int64)
        key = (grid[:, 0] * (cells + 1) + grid[:, 1]) * (cells + 1) + grid[:, 2]
        _, first, cell = np.unique(key, return_index=True, return_inverse=True)
        merged = cell[mesh.facets]
        keep = (merged[:, 0] != merged[:, 1]) & (merged[:, 1] != merged[:, 2]) & (merged[:, 2] != merged[:, 0])
        vertices, facets = mesh.vertices[first], merged[keep]
        if len(facets) <= MAX_FACETS:
            return vertices, facets, np.asarray(thickness)[keep]
        cells = int(cells * 0.8)
    return vertices, facets, np.asarray(thickness)


def _base64(array: Any) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
