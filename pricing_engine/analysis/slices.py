"""Layer areas and perimeters, islands and trapped volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pricing_engine.kernels.layers.contours import Contours, build_contours
from pricing_engine.kernels.layers.layer_overlap import Overlaps, find_voids, join_pairs, overlap_layers
from pricing_engine.kernels.layers.point_location import Layers
from pricing_engine.kernels.layers.slices import (
    ChunkSums,
    Planes,
    count_segments,
    fill_segments,
    find_levels,
    sum_layers,
)
from pricing_engine.kernels.mesh import Mesh
from pricing_engine.kernels.runtime.budget import log2_of
from pricing_engine.kernels.runtime.search_counters import record, work_array
from pricing_engine.kernels.runtime.threads import chunk_count, run_ranges
from pricing_engine.kernels.solid.boundary import CAP, UNCUT, Boundary
from pricing_engine.mesh.places import MAX_PLACES

MAX_LAYERS = 200_000
_GRAIN_VERTICES = 65_536
_MIN_GRAIN_FACETS = 16_384
_MAX_PARTIAL_SUMS = 4_000_000
_BLOCK_SEGMENTS = 1_500_000
_GRAIN_SEGMENTS = 16_384
_MIN_ISLAND = 1e-10  # of the squared size: smaller slivers are rounding
_ON_PLANE = 1e-13
# Budgets: a minimum, and an amount per facet times log2 of the facets. Common models need some 2 segments per facet.
_MAX_SEGMENTS = 1 << 26, 32
_MAX_CONTOURS = 1 << 22, 4
_MAX_TESTS = 4096  # per segment of a chunk of layers; per point: some full strips
_MAX_TOTAL_TESTS = 1 << 32, 256  # of all contours

Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]


@dataclass(frozen=True)
class SlicesResult:
    """Measures of the layers of a model.

    ``layer_area`` mm2 and ``layer_perimeter`` mm, (layers,) float64, are of the region with winding number at least 1.
    ``islands`` counts regions without support in the layer below; ``island_points`` (islands, 3) float64 mm has a point
    of each, layer by layer. ``trapped_volume_mm3`` is the void without a path to the outside through the layers, each
    layer's void area times the layer height; ``trapped_points`` (n, 3) mm has a point on the wall of each of the
    largest such spaces. Caps over a model's holes are not walls: void that meets one is connected to the outside,
    unless the hole is a crack, narrower than 1e-6 of the model's size.
    """

    layer_height_mm: float
    layers: int
    area_sum_mm2: float
    perimeter_sum_mm: float
    max_area_mm2: float
    islands: int
    trapped_volume_mm3: float
    layer_area: Doubles
    layer_perimeter: Doubles
    island_points: Doubles
    trapped_points: Doubles


class TooMuchToSlice(ValueError):
    """The layers have more segments, contours or neighbours than those of any manufacturable model."""


@dataclass(frozen=True)
class LayerSums:
    """``area`` mm2 and ``perimeter`` mm (layers,) float64 of the region with winding number at least 1."""

    area: Doubles
    perimeter: Doubles


@dataclass(frozen=True)
class _Planes:
    """Equally spaced planes and the soups they cut: (vertices, facets, status, level, grain).

    ``caps``: whether the last soup holds the caps of holes that lead outside.
    """

    first: float
    step: float
    count: int
    centre: tuple[float, float]
    size: float
    soups: list[tuple[Doubles, Ints, NDArray[np.int8], Ints, int]]
    caps: bool


@dataclass(frozen=True)
class _Block:
    """Results of a block of layers: its islands, and its contours' doubled areas, a point (3,) of each, and links.

    Contours are numbered from 1 through all layers; 0 is the outside. ``links`` are pairs of contours, or of a contour
    and the outside, whose voids are connected. ``tests``: the number of tests done.
    """

    islands: Doubles
    area: Doubles
    points: Doubles
    links: NDArray[np.int64]
    tests: int


def layer_count(mesh: Mesh, layer_height: float) -> float:
    """Return the approximate number of layers of ``layer_height`` mm; at most :data:`MAX_LAYERS` can be measured."""
    return float(np.ptp(mesh.vertices[:, 2])) / layer_height


def layer_sums(mesh: Mesh, boundary: Boundary, layer_height: float, threads: int) -> LayerSums:
    """Return area and perimeter of the layers of :func:`measure_slices`: two streaming passes, O(facets + segments)."""
    area, perimeter, _ = _sums(_plan(mesh, boundary, layer_height, threads), threads)
    return LayerSums(area, perimeter)


def measure_slices(mesh: Mesh, boundary: Boundary, layer_height: float, threads: int) -> SlicesResult:
    """Cut the solid at each z_min + (i + 1/2) ``layer_height`` below z_max.

    A vertex on a plane counts as above it; "on" means within 1e-13 of the largest |z|, so that the rounding of the
    plane's height has no effect. O(facets + segments) time; memory for a block of at most 1.5 million segments (or one
    layer) at a time. Raises ValueError for a layer height that is not positive or gives over 200,000 layers, and
    TooMuchToSlice if the work exceeds its budget.
    """
    planes = _plan(mesh, boundary, layer_height, threads)
    _check_segments(planes, threads)
    area, perimeter, segments = _sums(planes, threads)
    islands, trapped, trapped_points = _islands_and_trapped(planes, segments, threads)
    return SlicesResult(
        layer_height_mm=layer_height,
        layers=planes.count,
        area_sum_mm2=float(area.sum()),
        perimeter_sum_mm=float(perimeter.sum()),
        max_area_mm2=float(area.max(initial=0.0)),
        islands=len(islands),
        trapped_volume_mm3=trapped,
        layer_area=area,
        layer_perimeter=perimeter,
        island_points=islands,
        trapped_points=trapped_points,
    )


def _plan(mesh: Mesh, boundary: Boundary, height: float, threads: int) -> _Planes:
    if not (height > 0 and np.isfinite(height)):
        raise ValueError(f"layer height must be a positive number of mm, not {height}")
    low, high = mesh.box()
    tolerance = _ON_PLANE * max(abs(low[2]), abs(high[2]))
    expected = (high[2] - low[2]) / height
    if expected > MAX_LAYERS:
        raise ValueError(f"{expected:.0f} layers of {height} mm are more than {MAX_LAYERS}")
    first = float(low[2] + height / 2)
    count = max(0, int(expected + 0.5) - 1)
    while first + count * height < high[2] - tolerance:
        count += 1
    soups = [(mesh.vertices, mesh.facets, boundary.status)]
    is_cap = boundary.piece_facet == CAP
    for pieces in (boundary.pieces[~is_cap], boundary.pieces[is_cap]):
        if len(pieces):
            soup_facets = np.arange(3 * len(pieces), dtype=np.int32).reshape(-1, 3)
            uncut = np.full(len(soup_facets), UNCUT, np.int8)
            soups.append((np.ascontiguousarray(pieces.reshape(-1, 3)), soup_facets, uncut))
    cut = []
    for vertices, facets, status in soups:
        level = np.empty(len(vertices), np.int32)
        run_ranges(
            find_levels, len(vertices), _GRAIN_VERTICES, threads, vertices, first, height, tolerance, count, level
        )
        chunks = max(1, min(64, _MAX_PARTIAL_SUMS // max(count, 1)))
        cut.append((vertices, facets, status, level, max(_MIN_GRAIN_FACETS, -(-len(facets) // chunks))))
    centre = (low + high) / 2
    return _Planes(first, height, count, (centre[0], centre[1]), float((high - low)[:2].max()), cut, bool(is_cap.any()))


def _check_segments(planes: _Planes, threads: int) -> None:
    """Raise TooMuchToSlice if the layers have more segments than the budget."""
    total, facets = 0, 0
    for _, soup_facets, status, level, grain in planes.soups:
        work = work_array(len(soup_facets), grain)
        run_ranges(count_segments, len(soup_facets), grain, threads, grain, soup_facets, status, level, work)
        record("slices", work)
        total, facets = total + int(work.sum()), facets + len(soup_facets)
    if total > max(_MAX_SEGMENTS[0], _MAX_SEGMENTS[1] * facets * log2_of(facets)):
        raise TooMuchToSlice(f"{total:,} segments in {planes.count:,} layers of {facets:,} facets")


def _sums(planes: _Planes, threads: int) -> tuple[Doubles, Doubles, Ints]:
    """Return area and perimeter of each layer, and the number of segments (chunks of all soups, layers)."""
    area, perimeter, segments = np.zeros(planes.count), np.zeros(planes.count), []
    for vertices, facets, status, level, grain in planes.soups:
        shape = (chunk_count(len(facets), grain), planes.count)
        areas, lengths, counts = np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int32)
        run_ranges(
            sum_layers, len(facets), grain, threads, grain, vertices, facets, status, level,
            Planes(planes.first, planes.step, *planes.centre), ChunkSums(areas, lengths, counts),
        )  # fmt: skip
        area += areas.sum(axis=0) / 2
        perimeter += lengths.sum(axis=0)
        segments.append(counts)
    return area, perimeter, np.concatenate(segments)


def _islands_and_trapped(planes: _Planes, segments: Ints, threads: int) -> tuple[Doubles, float, Doubles]:
    """Return points of the islands, the trapped volume, and a point of each of the largest trapped spaces."""
    total = segments.sum(axis=0, dtype=np.int64)
    blocks, start_layer, contour_count, tests = [], 0, 0, 0
    facets = sum(len(soup_facets) for _, soup_facets, _, _, _ in planes.soups)
    budgets = _MAX_CONTOURS, _MAX_TOTAL_TESTS
    max_contours, max_tests = (max(minimum, per_facet * facets * log2_of(facets)) for minimum, per_facet in budgets)
    while start_layer < planes.count:
        running = np.cumsum(total[start_layer:])
        end = min(planes.count, start_layer + max(1, int(np.searchsorted(running, _BLOCK_SEGMENTS, side="right"))))
        blocks.append(_block(planes, segments, start_layer, end, contour_count, threads))
        contour_count += len(blocks[-1].area)
        tests += blocks[-1].tests
        if contour_count > max_contours or tests > max_tests:
            raise TooMuchToSlice(f"{contour_count:,} contours and {tests:,} tests in the first {end:,} layers")
        start_layer = end
    if not contour_count:
        return np.empty((0, 3)), 0.0, np.empty((0, 3))
    parent = np.arange(contour_count + 1, dtype=np.int32)
    for block in blocks:
        join_pairs(parent, block.links)
    while not np.array_equal(parent, parent[parent]):
        parent = parent[parent]
    doubled = np.concatenate([block.area for block in blocks])
    closed_in = np.flatnonzero(parent[1:] != 0)
    trapped = -doubled[closed_in].sum() / 2 * planes.step
    places = _trapped_places(parent[1:], doubled, closed_in)
    points = np.concatenate([block.points for block in blocks])[places]
    return np.concatenate([block.islands for block in blocks]), max(0.0, float(trapped)), points


def _trapped_places(space: Ints, doubled: Doubles, closed_in: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the largest contour of each of the largest trapped spaces; ``space``, ``doubled`` area by contour."""
    spaces, group = np.unique(space[closed_in], return_inverse=True)
    void = -np.bincount(group, doubled[closed_in], len(spaces))
    order = np.lexsort((doubled[closed_in], group))  # contours of voids have a negative area
    largest = closed_in[order[np.searchsorted(group[order], np.arange(len(spaces)))]]
    return largest[np.argsort(-void, kind="stable")][:MAX_PLACES]


def _check_tests(search: str, work: NDArray[np.int64], start: NDArray[np.int64], grain: int, reach: int = 0) -> int:
    """Return the number of tests of all chunks; raise TooMuchToSlice if a chunk of ``grain`` exceeded its budget.

    ``start`` (items + 1,): offsets of the items' segments; a chunk also tests those of the ``reach`` items after it.
    """
    record(search, work)
    lo = np.arange(len(work)) * grain
    hi = np.minimum(lo + grain + reach, len(start) - 1)
    if (work.sum(axis=1) > _MAX_TESTS * np.maximum(start[hi] - start[lo], 1)).any():
        raise TooMuchToSlice("too many segments of a layer lie beside or across one another")
    return int(work.sum())


def _tolerance(planes: _Planes) -> float:
    """Return the distance (mm) up to which points of a layer coincide."""
    return max(1e-9 * planes.size, 1e-300)


def _block(planes: _Planes, segments: Ints, start_layer: int, end: int, contour_count: int, threads: int) -> _Block:
    """Return the contours of layers ``start_layer`` to ``end``, each linked to the layer below.

    ``contour_count``: contours of the layers before.
    """
    low = max(start_layer - 1, 0)  # the layer before the block is rebuilt for the comparison
    counts = segments[:, low:end].astype(np.int64)
    start = np.concatenate([[0], np.cumsum(counts.sum(axis=0))])
    lines = _segments(planes, counts, start, low, end, threads)
    n, layers = len(lines), end - low
    contour, sample, count, solid, void, below, above = (np.zeros(n, np.int32) for _ in range(7))
    area, supported = np.zeros(n), np.zeros(n, np.int8)
    contours, strip, items = np.zeros(layers, np.int32), np.zeros(n + 2 * layers, np.int32), np.empty(3 * n, np.int32)
    search = Layers(start, lines, contour, strip, items, np.empty(3 * n), np.zeros(layers), np.zeros(layers))
    of_contour = Contours(area, sample, count, solid, void, contours)
    grain = max(1, layers * _GRAIN_SEGMENTS // max(n, 1))
    tolerance, work = _tolerance(planes), work_array(layers, grain)
    run_ranges(
        build_contours, layers, grain, threads, search, tolerance, len(planes.soups) > 1, of_contour, grain,
        _MAX_TESTS, work,
    )  # fmt: skip
    tests = _check_tests("contours", work, start, grain)
    work = work_array(layers - 1, grain)
    run_ranges(
        overlap_layers, layers - 1, grain, threads, 100 * tolerance, tolerance, search, of_contour,
        Overlaps(supported, below, above), grain, _MAX_TESTS, work,
    )  # fmt: skip
    tests += _check_tests("layer_overlaps", work, start, grain, 1)

    layer = np.repeat(np.arange(layers), contours)
    local = np.arange(len(layer)) - (np.cumsum(contours) - contours)[layer]
    index = start[layer] + local
    rebuilt = contours[0] if low < start_layer else 0
    first_id = np.cumsum(contours, dtype=np.int64) - contours + (contour_count - rebuilt)
    contour_id = 1 + first_id[layer] + local
    down, up = layer > 0, layer < layers - 1
    links = [
        (contour_id[down], np.where(below[index[down]] > 0, first_id[layer[down] - 1] + below[index[down]], 0)),
        (contour_id[up], np.where(above[index[up]] > 0, first_id[layer[up]] + above[index[up]], 0)),
    ]
    # below the first layer and above the last is the outside
    edge = contour_id[(layer == -low) | (layer == planes.count - 1 - low)]
    links.append((edge, np.zeros(len(edge), np.int64)))
    if planes.caps:
        open_layer, open_contour = _open_voids(planes, counts, start, low, search, contours, threads)
        links.append((1 + first_id[open_layer] + open_contour, np.zeros(len(open_layer), np.int64)))
    area_of_solid = np.zeros(n)
    np.add.at(area_of_solid, start[layer] + solid[index], area[index])
    large = area_of_solid[index] > _MIN_ISLAND * planes.size**2
    island = index[down & (solid[index] == local) & (supported[index] == 0) & large]
    new = index[layer >= start_layer - low]

    def points(contours: NDArray[np.int64]) -> Doubles:
        line = lines[sample[contours]]
        height = planes.first + (low + np.searchsorted(start, contours, side="right") - 1) * planes.step
        return np.column_stack([(line[:, :2] + line[:, 2:]) / 2 + planes.centre, height])

    links_of_block = np.concatenate([np.stack(pair) for pair in links], axis=1)
    return _Block(points(island), area[new], points(new), links_of_block, tests)


def _open_voids(
    planes: _Planes,
    counts: NDArray[np.int64],
    start: NDArray[np.int64],
    low: int,
    search: Layers,
    contours: Ints,
    threads: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the contours whose void meets a cap: layers relative to ``low``, and contours in them.

    A cap cut by planes has segments, the last of each layer; one between two planes is located in the layer before it.
    """
    corners, soup_facets, _, level, grain = planes.soups[-1]
    from_caps = counts[-chunk_count(len(soup_facets), grain) :].sum(axis=0)
    cut = np.repeat(start[1:] - np.cumsum(from_caps), from_caps) + np.arange(int(from_caps.sum()))
    layer = np.repeat(np.arange(len(from_caps)), from_caps)
    caps, levels = corners.reshape(-1, 3, 3), level.reshape(-1, 3)
    up = np.cross(caps[:, 1] - caps[:, 0], caps[:, 2] - caps[:, 0])[:, 2] > 0
    facing = levels[:, 0] - np.where(up, 0, 1) - low
    between = (np.ptp(levels, axis=1) == 0) & (facing >= 0) & (facing < len(from_caps))
    facing, points = facing[between], caps[between, :, :2].mean(axis=1) - planes.centre
    found = np.full(len(facing), -1, np.int32)
    work = work_array(len(facing), _GRAIN_SEGMENTS)
    run_ranges(
        find_voids, len(facing), _GRAIN_SEGMENTS, threads, _tolerance(planes), points, facing, search, contours, found,
        _GRAIN_SEGMENTS, _MAX_TESTS, work,
    )  # fmt: skip
    _check_tests("open_voids", work, np.arange(len(facing) + 1), _GRAIN_SEGMENTS)
    located = found >= 0
    open_contours = np.concatenate([search.contour[cut], found[located]])
    return np.concatenate([layer, facing[located]]), open_contours.astype(np.int64)


def _segments(
    planes: _Planes, counts: NDArray[np.int64], start: NDArray[np.int64], low: int, end: int, threads: int
) -> Doubles:
    """Return segments (n, 4) of layers ``low`` to ``end``, by layer and facet; ``counts`` (chunks, layers)."""
    cursor = start[:-1] + np.cumsum(counts, axis=0) - counts
    lines, chunk = np.empty((int(start[-1]), 4)), 0
    for vertices, facets, status, level, grain in planes.soups:
        chunks = chunk_count(len(facets), grain)
        run_ranges(
            fill_segments, len(facets), grain, threads, grain, vertices, facets, status, level,
            Planes(planes.first, planes.step, *planes.centre), low, end, cursor[chunk : chunk + chunks], lines,
        )  # fmt: skip
        chunk += chunks
    return lines
