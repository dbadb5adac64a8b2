"""Generated benchmark models: one figure, 25 mm high, with 82 k, 1.3 M and 5.2 M facets."""

from __future__ import annotations

from pathlib import Path

import numpy as np

SIZES = {"small": 6, "mid": 8, "large": 9}


def make(folder: Path) -> dict[str, Path]:
    """Write the missing models into ``folder`` as binary STL; return name -> path.

    A sphere subdivided 6, 8 and 9 times, deformed into limbs and covered with fine relief, so that rays meet opposite
    walls at many distances and layers have many contours, as in a cast figure. The depth of the relief is such that the
    peers need as long for a facet's sphere as on the scanned armadillo of the measured floors.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"figure-{name}.stl" for name in SIZES}
    for name, level in SIZES.items():
        if not paths[name].exists():
            write_stl(paths[name], *figure(level))
    return paths


def figure(level: int) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices (V, 3) mm and facets (F, 3) of the figure, an icosphere subdivided ``level`` times."""
    import trimesh

    ball = trimesh.creation.icosphere(level)
    unit = np.asarray(ball.vertices)
    limbs = np.array([[1, 0.2, 0.9], [-1, 0.1, 0.9], [0.7, 0.1, -1], [-0.7, 0.2, -1], [0, 0.3, 1.3], [0, -1.2, -0.4]])
    limbs /= np.linalg.norm(limbs, axis=1, keepdims=True)
    radius = 0.35 + sum(0.65 * np.exp(-12 * (1 - unit @ limb)) for limb in limbs)
    radius += 0.005 * np.sin(40 * unit[:, 0]) * np.sin(40 * unit[:, 1]) * np.sin(40 * unit[:, 2])
    vertices = unit * radius[:, None]
    return vertices * 25 / np.ptp(vertices[:, 2]), np.asarray(ball.faces)


def write_stl(path: Path, vertices: np.ndarray, facets: np.ndarray) -> None:
    """Write ``vertices`` (V, 3) mm and ``facets`` (F, 3) to ``path`` as binary STL, with zero normals."""
    record = np.zeros(len(facets), np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")]))
    record["corners"] = vertices.astype("<f4")[facets]
    with path.open("wb") as file:
        file.write(b"facet benchmark".ljust(80) + np.uint32(len(facets)).tobytes())
        record.tofile(file)
