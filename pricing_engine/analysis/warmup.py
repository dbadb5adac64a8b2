"""Compile every kernel into numba's cache (``make setup``), so that no model waits for it."""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from pricing_engine.analysis.kernel_cache import discard_stale
from pricing_engine.analysis.measure import Settings, measure
from pricing_engine.analysis.progress import PartialAnalysis
from pricing_engine.kernels.mesh import Floats
from pricing_engine.mesh.load import load_model
from pricing_engine.mesh.samples import SAMPLES, Sample, Shell, box, sphere

_SETTINGS = Settings(layer_height_mm=0.5)
_L_CORNERS = [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)]
"""Corners of an L: the faces of its prism are polygons, one of them concave on each side."""


def warm() -> None:
    """Load the kernels that most models need, compiling those that are not cached."""
    _measure(_common_models())


def compile_readers() -> None:
    """Compile the kernels that read files."""
    with tempfile.TemporaryDirectory() as folder:
        for path in _write_prisms(Path(folder)):
            load_model(path, None, threads=2)


def compile_measurements() -> None:
    """Compile the kernels that measure models, damaged and large ones too."""
    _measure(_common_models())
    _measure(_rare_models())


def compile_all() -> None:
    """Compile every kernel, in two processes; takes minutes."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for done in [pool.submit(compile_measurements), pool.submit(compile_readers)]:
            done.result()


def _measure(models: Iterator[Sample]) -> None:
    partials: list[PartialAnalysis] = []
    with tempfile.TemporaryDirectory() as folder:
        for sample in models:
            measure(sample.write_stl(Path(folder)), None, _SETTINGS, threads=2, on_progress=partials.append)


def _common_models() -> Iterator[Sample]:
    """Yield models that are overlapping, closed, open, turned, hollow, reversed and touching."""
    vertices, facets = block = _block(0, 10)
    cavity = _turned(_block(3, 9))
    yield SAMPLES["signet"]()
    yield _sample(block)
    yield _sample((vertices, facets[:-1]))
    yield _sample((vertices, np.concatenate([facets[:-1], facets[-1:, ::-1]])))
    yield _sample(block, cavity)
    yield _sample(block, _turned(_block(5, 15)))
    yield _sample(block, _moved(block, 10, 0))


def _rare_models() -> Iterator[Sample]:
    """Yield models with an open cavity, a common edge, repeated facets and bodies, a tangle, and a large one."""
    random = np.random.default_rng(0)
    vertices, facets = block = _block(0, 10)
    cavity, inward = _turned(_block(3, 8))
    for missing in range(0, len(inward), 2):
        yield _sample(block, (cavity, np.delete(inward, missing, axis=0)))
    yield _sample(block, _moved(block, 10, 10))
    yield _sample((vertices, np.concatenate([facets, facets[:1], [[0, 0, 1]]])))
    yield _sample(*[block] * 600)
    yield _sample((random.uniform(0, 10, (12000, 3)), np.arange(12000, dtype=np.int32).reshape(-1, 3)))
    points, large = sphere(np.zeros(3), 5.0, 160, 80)
    yield _sample((points * random.uniform(0.9, 1.1, (len(points), 1)), large))


def _sample(*shells: Shell) -> Sample:
    return Sample("model", "", shells, 0.0, "")


def _block(low: float, high: float) -> Shell:
    return box(np.full(3, low, np.float64), np.full(3, high, np.float64))


def _moved(shell: Shell, x: float, y: float) -> Shell:
    return shell[0] + np.array([x, y, 0.0]), shell[1]


def _turned(shell: Shell) -> Shell:
    return shell[0], shell[1][:, ::-1]


def _write_prisms(folder: Path) -> Iterator[Path]:
    """Write an L-shaped prism in each format whose reader has kernels of its own; yield the files."""
    count = len(_L_CORNERS)
    points = [(x, y, z) for z in (0, 1) for x, y in _L_CORNERS]
    faces = [[*range(count - 1, -1, -1)], [*range(count, 2 * count)]]
    faces += [[k, (k + 1) % count, (k + 1) % count + count, k + count] for k in range(count)]
    vertices, fans = (
        np.array(points, np.float64),
        [[face[0], *face[k : k + 2]] for face in faces for k in range(1, len(face) - 1)],
    )
    for name, content in {
        "ascii.stl": _ascii_stl(vertices[np.array(fans)]),
        "prism.obj": _lines("v", points) + _lines("f", [[k + 1 for k in face] for face in faces]),
        "prism.off": f"OFF\n{len(points)} {len(faces)} 0\n" + _lines("", points) + _lines("", _counted(faces)),
        "ascii.ply": _ply_header("ascii", points, faces) + _lines("", points) + _lines("", _counted(faces)),
    }.items():
        yield _written(folder / name, content.encode())
    for order, sign in (("binary_little_endian", "<"), ("binary_big_endian", ">")):
        body = vertices.astype(f"{sign}f4").tobytes()
        for face in faces:
            body += bytes([len(face)]) + np.array(face, f"{sign}i4").tobytes()
        yield _written(folder / f"{order}.ply", _ply_header(order, points, faces).encode() + body)


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _lines(keyword: str, rows: list[list[int]] | list[tuple[int, int, int]]) -> str:
    return "".join(f"{keyword} {' '.join(map(str, row))}\n" for row in rows)


def _counted(faces: list[list[int]]) -> list[list[int]]:
    return [[len(face), *face] for face in faces]


def _ply_header(order: str, points: list[tuple[int, int, int]], faces: list[list[int]]) -> str:
    coordinates = "".join(f"property float {axis}\n" for axis in "xyz")
    return (
        f"ply\nformat {order} 1.0\nelement vertex {len(points)}\n{coordinates}"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )


def _ascii_stl(triangles: Floats) -> str:
    corners = "".join(
        "facet normal 0 0 0\nouter loop\n" + _lines("vertex", triangle.tolist()) + "endloop\nendfacet\n"
        for triangle in triangles
    )
    return f"solid prism\n{corners}endsolid prism\n"


if __name__ == "__main__":
    started = time.perf_counter()
    discard_stale()
    compile_all()
    print(f"kernels compiled in {time.perf_counter() - started:.0f} s", file=sys.stderr)
