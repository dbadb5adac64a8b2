"""Generated sample jewellery, each with a volume computed independently of the engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.mesh import Floats, Ints

Shell = tuple[Floats, Ints]
FORMATS = ("stl", "obj", "ply", "off", "glb")


@dataclass(frozen=True, slots=True)
class Sample:
    """A model with its true volume in mm3 and the source of that number."""

    name: str
    title: str
    shells: tuple[Shell, ...]
    volume_mm3: float
    source: str

    def write_stl(self, folder: Path) -> Path:
        """Write all shells as one binary STL named after the sample; create the folder if missing."""
        folder.mkdir(parents=True, exist_ok=True)
        corners = np.concatenate([vertices[facets] for vertices, facets in self.shells]).astype("<f4")
        record = np.zeros(
            len(corners), np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
        )
        record["corners"] = corners
        path = folder / f"{self.name}.stl"
        path.write_bytes(b"facet sample".ljust(80) + np.uint32(len(corners)).tobytes() + record.tobytes())
        return path

    def write(self, folder: Path, file_format: str) -> Path:
        """Write all shells as one file in one of FORMATS, named after the sample; create the folder if missing.

        Binary STL is written here, since its bytes decide the sample's hash; the other formats by trimesh. GLB is in
        metres, as glTF requires, the others are in mm.
        """
        if file_format == "stl":
            return self.write_stl(folder)
        import trimesh

        scale = 0.001 if file_format == "glb" else 1.0
        shells = [trimesh.Trimesh(vertices * scale, facets, process=False) for vertices, facets in self.shells]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.{file_format}"
        trimesh.util.concatenate(shells).export(path, file_type=file_format)
        return path


def lathe(profile: Floats, segments: int) -> Shell:
    """Revolve a closed counter-clockwise profile (P, 2) of (radius, height), radius > 0, about z in flat sectors."""
    angle = 2 * np.pi * np.arange(segments) / segments
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    vertices = np.concatenate(
        [ring[:, None, :] * profile[None, :, :1], np.broadcast_to(profile[None, :, 1:], (segments, len(profile), 1))],
        axis=2,
    )
    i, j = np.meshgrid(np.arange(segments), np.arange(len(profile)), indexing="ij")
    k, m = (i + 1) % segments, (j + 1) % len(profile)
    a, b, c, d = (x * len(profile) + y for x, y in ((i, j), (k, j), (k, m), (i, m)))
    facets = np.stack([np.stack([a, b, c], -1), np.stack([a, c, d], -1)], axis=2)
    return vertices.reshape(-1, 3), facets.reshape(-1, 3).astype(np.int32)


def lathe_volume(profile: Floats, segments: int) -> float:
    """Return the volume of :func:`lathe`: (n / 2) sin(2 pi / n) times the integral of r^2 dz along the profile."""
    (r, z), (s, y) = profile.T, np.roll(profile, -1, axis=0).T
    return float(segments / 2 * np.sin(2 * np.pi / segments) * ((r * r + r * s + s * s) / 3 * (y - z)).sum())


def sphere(centre: Floats, radius: float, columns: int = 24, rows: int = 12) -> Shell:
    """Return a closed ball of latitude rows and longitude columns."""
    polar = np.pi * np.arange(1, rows) / rows
    angle = 2 * np.pi * np.arange(columns) / columns
    rim = np.stack(
        np.broadcast_arrays(
            np.sin(polar)[:, None] * np.cos(angle), np.sin(polar)[:, None] * np.sin(angle), np.cos(polar)[:, None]
        ),
        -1,
    )
    vertices = np.concatenate([rim.reshape(-1, 3), [[0, 0, 1], [0, 0, -1]]]) * radius + centre
    north, south = len(vertices) - 2, len(vertices) - 1
    i, j = np.meshgrid(np.arange(rows - 2), np.arange(columns), indexing="ij")
    k = (j + 1) % columns
    a, b, c, d = i * columns + j, (i + 1) * columns + j, (i + 1) * columns + k, i * columns + k
    column = np.arange(columns)
    after, last = (column + 1) % columns, (rows - 2) * columns
    caps = [
        np.stack([np.full(columns, north), column, after], -1),
        np.stack([np.full(columns, south), last + after, last + column], -1),
    ]
    facets = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3), *caps])
    return vertices, facets.astype(np.int32)


def box(low: Floats, high: Floats) -> Shell:
    """Return an axis-aligned box of twelve facets."""
    corner = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]], np.int32)
    return low + corner * (high - low), np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def openwork_plate(cells: int, pitch: float, hole_radius: float, thickness: float, quarter: int = 8) -> Shell:
    """Return a square plate of ``cells`` x ``cells`` round holes, each of ``4 * quarter`` sides."""
    count = 4 * quarter
    angle = 2 * np.pi * (np.arange(count) + 0.5 * quarter) / count - np.pi / 2
    hole = hole_radius * np.stack([np.cos(angle), np.sin(angle)], 1)
    step = np.arange(quarter) / quarter * pitch
    zero, full = np.zeros(quarter), np.full(quarter, pitch)
    rim = (
        np.concatenate(
            [np.stack(side, 1) for side in ((full, step), (full - step, full), (zero, full - step), (step, zero))]
        )
        - pitch / 2
    )
    hole = np.roll(hole, -int(np.argmin(((hole / hole_radius - np.array([1, -1]) / np.sqrt(2)) ** 2).sum(1))), axis=0)
    corners: list[NDArray[np.float64]] = []

    def quad(a: Floats, b: Floats, c: Floats, d: Floats) -> None:
        corners.append(np.stack([a, b, c], 1))
        corners.append(np.stack([a, c, d], 1))

    def at(points: Floats, height: float) -> Floats:
        return np.column_stack([points, np.full(len(points), height)])

    following = np.roll(np.arange(count), -1)
    for x in range(cells):
        for y in range(cells):
            # Compute corners from multiples of the pitch, so that neighbour cells share them bit for bit.
            shift = np.array([x, y]) * pitch
            inner, outer = hole + shift, np.round(rim * 2**20) / 2**20 + shift
            for height, turned in ((thickness, False), (0.0, True)):
                p, q = at(inner, height), at(outer, height)
                ring = (p, q, q[following], p[following])
                quad(*(ring[::-1] if turned else ring))
            low, high = at(inner, 0.0), at(inner, thickness)
            quad(low, high, high[following], low[following])
            for side, edge in enumerate((x == cells - 1, y == cells - 1, x == 0, y == 0)):
                if edge:
                    run = np.arange(side * quarter, (side + 1) * quarter)
                    low, high = at(outer, 0.0), at(outer, thickness)
                    quad(low[run], low[following[run]], high[following[run]], high[run])
    soup = np.concatenate(corners)
    return soup.reshape(-1, 3), np.arange(3 * len(soup), dtype=np.int32).reshape(-1, 3)


def _make_band() -> Sample:
    profile = np.array([[8.5, -2.0], [10.0, -1.6], [10.3, 0.0], [10.0, 1.6], [8.5, 2.0], [8.4, 0.0]])
    return Sample(
        "band", "Plain band", (lathe(profile, 256),), lathe_volume(profile, 256), "closed form of the 256-sided lathe"
    )


def _make_signet() -> Sample:
    profile = np.array([[8.5, -2.5], [10.2, -2.5], [10.2, 2.5], [8.5, 2.5]])
    table = box(np.array([8.75, -5.0, -4.0]), np.array([12.0, 5.0, 4.0]))
    return Sample(
        "signet",
        "Signet ring",
        (lathe(profile, 192), table),
        SIGNET_VOLUME,
        "manifold3d 3.5.4, union of the two shells",
    )


def _make_pendant() -> Sample:
    cells, pitch, radius, thickness, sides = 7, 3.0, 1.1, 1.4, 32
    hole = sides / 2 * np.sin(2 * np.pi / sides) * radius**2
    volume = cells**2 * (pitch**2 - hole) * thickness
    return Sample(
        "pendant", "Openwork pendant", (openwork_plate(cells, pitch, radius, thickness),), float(volume), "closed form"
    )


def _make_pave() -> Sample:
    profile = np.array([[8.5, -2.0], [10.0, -2.0], [10.0, 2.0], [8.5, 2.0]])
    beads = []
    for row, height in enumerate((-1.2, 0.0, 1.2)):
        for k in range(44):
            angle = 2 * np.pi * (k + row / 2) / 44
            beads.append(sphere(np.array([10.0 * np.cos(angle), 10.0 * np.sin(angle), height]), 0.75))
    return Sample(
        "pave",
        "Pave ring, 133 overlapping shells",
        (lathe(profile, 176), *beads),
        PAVE_VOLUME,
        "manifold3d 3.5.4, union of all shells",
    )


# Computed with manifold3d from the float32 shells; a test recomputes them.
SIGNET_VOLUME = 708.0476263998612
PAVE_VOLUME = 462.77070350521967

SAMPLES: dict[str, Callable[[], Sample]] = {
    "band": _make_band,
    "signet": _make_signet,
    "pendant": _make_pendant,
    "pave": _make_pave,
}
