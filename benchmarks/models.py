"""The models of ``make bench``: jewellery first, then the generated figure in three sizes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import meshes
from benchmarks.ring_models import STL_RECORD
from pricing_engine.mesh.samples import SAMPLES

# Floor and goal of the complete inspect: the peers' time over Facet's.
_INSPECT = {"geometry_ring": (1.5, 4.0), "pendant": (4.0, 8.0), "waveform_ring": (2.0, 5.0), "pave": (3.0, 6.0)}
_FIGURE = (3.0, 8.0)
_LARGE_FIGURE = (2.0, 8.0)
_REAL_MODELS = ("geometry_ring", "pendant", "waveform_ring")


@dataclass(frozen=True, slots=True)
class Model:
    """A file to measure. ``inspect``: floor and goal of the ratio, if any; ``real``: a production model."""

    path: Path
    inspect: tuple[float, float] | None
    real: bool = False

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return self.path.stem


def model_for(path: Path, shared: Path) -> Model:
    """Return the file with the floor and goal of its name, if any."""
    return Model(path, {**_INSPECT, "figure-small": _FIGURE}.get(path.stem), path.resolve().parent == shared.resolve())


def make(folder: Path, shared: Path) -> list[Model]:
    """Write the missing models into ``folder`` and return all, with those of ``shared`` if that folder exists."""
    jewellery = [shared / f"{name}.stl" for name in _REAL_MODELS if (shared / f"{name}.stl").is_file()]
    own = []
    for name, sample in SAMPLES.items():
        path = folder / f"{name if name not in _REAL_MODELS else f'openwork_{name}'}.stl"
        if not path.exists():
            sample().write_stl(folder).rename(path)
        own.append(path)
    texts = [_as_text(path, folder) for path in [path for path in jewellery + own if _is_binary(path)][:1] + own[-1:]]
    figures = meshes.make(folder)
    return [
        *(Model(path, _INSPECT.get(path.stem), path in jewellery) for path in jewellery + own),
        *(Model(path, None) for path in texts),
        Model(figures["small"], _FIGURE),
        *(Model(figures[size], _LARGE_FIGURE) for size in ("mid", "large")),
    ]


def _is_binary(path: Path) -> bool:
    """Return whether the STL file's size matches its facet count: geometry_ring is already text."""
    count = int(np.fromfile(path, "<u4", 1, offset=80)[0])
    return path.stat().st_size == 84 + STL_RECORD.itemsize * count


def _as_text(binary: Path, folder: Path) -> Path:
    """Write the same model as ASCII STL with seven digits, as other programs do."""
    path = folder / f"{binary.stem}_ascii.stl"
    if not path.exists():
        corners = np.fromfile(binary, STL_RECORD, offset=84)["corners"].reshape(-1, 9)
        facet = (
            "  facet normal 0 0 0\n    outer loop\n" + 3 * "      vertex %.6e %.6e %.6e\n" + "    endloop\n  endfacet\n"
        )
        text = "".join(facet % tuple(row) for row in corners.tolist())
        path.write_text(f"solid {binary.stem}\n{text}endsolid {binary.stem}\n")
    return path
