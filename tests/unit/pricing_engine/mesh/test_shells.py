"""Shells (``mesh/shells.py``): which are flipped and which are cavities, against exact booleans and voxels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import trimesh

from pricing_engine.analysis.bodies import Bodies, relate_bodies
from pricing_engine.analysis.solid import classify, true_volume
from pricing_engine.kernels.intersection.pair_search import find_pairs
from pricing_engine.kernels.spatial.bvh import build_bvh
from pricing_engine.mesh import nesting
from pricing_engine.mesh.integrity import measure_topology
from pricing_engine.mesh.repair import TURNED, UNDECIDED, RepairStep, repair
from pricing_engine.mesh.shells import find_shells
from pricing_engine.mesh.weld import canonical_indexed
from tests.naive.shells import sides_meant, volume_meant
from tests.support.meshes import (
    Floats,
    Solid,
    box,
    canonical,
    concatenated,
    cube,
    inside_out,
    moved,
    random_rotation,
    rotated,
    solid_of,
)


def repair_parts(
    parts: Sequence[trimesh.Trimesh], rotation: Floats | None = None
) -> tuple[float, dict[str, RepairStep], Bodies]:
    """Return the volume of the parts as one model, the repairs, and the relations of its bodies."""
    model = concatenated(parts)
    vertices = model.vertices if rotation is None else model.vertices @ rotation.T
    mesh = canonical_indexed(np.ascontiguousarray(vertices), np.asarray(model.faces), 2)
    repaired, steps = repair(mesh, measure_topology(mesh, 2), 2)
    again, _ = repair(repaired, measure_topology(repaired, 2), 1)
    assert again is repaired
    topology, bvh = measure_topology(repaired, 2), build_bvh(repaired, 2)
    pairs = find_pairs(repaired, bvh, 2)
    closed = topology.watertight and topology.winding_consistent
    boundary = classify(repaired, bvh, pairs, closed, topology.facet_body, 2)
    assert boundary is not None
    volume = true_volume(repaired, boundary, 2)[0]
    return volume, {step.code: step for step in steps}, relate_bodies(repaired, topology, bvh, pairs, 2)


CASES: dict[str, tuple[list[trimesh.Trimesh], float, int]] = {
    "overlapping": ([cube(0, 10), cube(5, 15, True)], 1875, 1),
    "cavity": ([cube(0, 10), cube(2, 8, True)], 784, 0),
    "hollow part inside out": ([cube(0, 10, True), cube(2, 8)], 784, 2),
    "hollow part with its outside inside out": ([cube(0, 10, True), cube(2, 8, True)], 784, 1),
    "pearl in a cavity": ([cube(0, 10), cube(2, 8, True), cube(4, 6)], 792, 0),
    "all of that inside out": ([cube(0, 10, True), cube(2, 8), cube(4, 6, True)], 792, 3),
    "hollow part inside out through another": ([box((-5, 0, 0), (1, 9, 9)), cube(0, 10, True), cube(2, 8)], 1189, 2),
    "two cavities that cross": ([cube(0, 10), cube(2, 6, True), cube(4, 8, True)], 1000, 2),
    "whole face in common": ([cube(0, 10), box((10, 0, 0), (20, 10, 10), True)], 2000, 1),
    "part of a face in common": ([cube(0, 10), box((10, 2, 2), (20, 8, 8), True)], 1360, 1),
    "edge in common": ([cube(0, 10), box((10, 10, 0), (20, 20, 10), True)], 2000, 1),
    "corner in common": ([cube(0, 10), cube(10, 20, True)], 2000, 1),
    "edges that cross": ([cube(0, 10), box((10, 5, 10), (20, 15, 20), True)], 2000, 1),
    "pocket": ([cube(0, 10), box((2, 2, 0), (8, 8, 6), True)], 784, 0),
    "pocket in a corner": ([cube(0, 10), cube(0, 6, True)], 784, 0),
    "pocket over a whole face": ([cube(0, 10), box((0, 0, 0), (4, 10, 10), True)], 600, 0),
    "same planes": ([cube(0, 2), box((1, 0, 0), (3, 2, 2), True)], 12, 1),
    "rod through a plate": ([box((-9, -9, 0), (9, 9, 1)), box((3, 3, -9), (4, 4, 9), True)], 341, 1),
    "copy": ([cube(0, 10), cube(0, 10, True), box((20, 0, 0), (21, 1, 1))], 1001, 1),
    "two copies": ([cube(0, 10), cube(0, 10)], 1000, 0),
}


@pytest.mark.parametrize("name", CASES)
def test_flips_are_independent_of_position(name: str) -> None:
    parts, volume, flip_count = CASES[name]
    random = np.random.default_rng(len(name))
    for rotation in (None, random_rotation(random), random_rotation(random)):
        found, steps, bodies = repair_parts(parts, rotation)
        assert found == pytest.approx(volume, rel=1e-6)
        assert steps.get(TURNED, RepairStep(TURNED, 0)).count == flip_count
        assert len(steps.get(TURNED, RepairStep(TURNED, 0)).where) == flip_count
        assert bodies.complete


def random_shape(random: np.random.Generator, size: float, at: Floats) -> trimesh.Trimesh:
    """Return a ball, a box or a prism of about ``size``, rotated at random."""
    kind = int(random.integers(3))
    if kind == 0:
        solid = trimesh.creation.icosphere(1, size)
    elif kind == 1:
        solid = trimesh.creation.box(size * random.uniform(1.2, 1.8, 3))
    else:
        solid = trimesh.creation.cylinder(size * 0.9, 1.6 * size, sections=int(random.integers(3, 9)))
    return moved(rotated(solid, random_rotation(random)), *at)


def nested(random: np.random.Generator) -> tuple[list[trimesh.Trimesh], list[int]]:
    """Return nested solids and cavities up to four deep; correct, with the outside inverted, or all inverted."""
    at, parts = random.uniform(-6, 6, 3), []
    for level in range(int(random.integers(1, 5))):
        parts.append(random_shape(random, 3 * 0.4**level, at + random.uniform(-1, 1, 3) * 0.1 * 0.4**level))
    sides = [1 if level % 2 == 0 else -1 for level in range(len(parts))]
    variant = int(random.integers(3))
    return parts, [-side if variant == 2 or (variant == 1 and level == 0) else side for level, side in enumerate(sides)]


def random_model(random: np.random.Generator) -> tuple[list[trimesh.Trimesh], list[int]]:
    """Return nests and bodies that overlap them or one another, each with a random orientation."""
    parts, sides = list[trimesh.Trimesh](), list[int]()
    for _ in range(int(random.integers(1, 4))):
        more, their = nested(random)
        parts, sides = parts + more, sides + their
    for _ in range(int(random.integers(0, 5))):
        parts.append(random_shape(random, random.uniform(0.3, 2.5), random.uniform(-6, 6, 3)))
        sides.append(int(random.choice([-1, 1])))
    return parts, sides


def with_sides(parts: Sequence[trimesh.Trimesh], sides: Sequence[int]) -> list[trimesh.Trimesh]:
    return [inside_out(part) if side < 0 else part for part, side in zip(parts, sides, strict=True)]


@pytest.mark.parametrize("seed", range(40))
def test_random_nests_and_overlaps_agree_with_exact_booleans(seed: int) -> None:
    random = np.random.default_rng([14, seed])
    parts, sides = random_model(random)
    solids = [solid_of(part) for part in parts]
    meant, alike = sides_meant(solids, sides, Solid.volume)
    found, steps, bodies = repair_parts(with_sides(parts, sides), random_rotation(random))
    assert found == pytest.approx(volume_meant(solids, meant), rel=1e-6)
    flip_count = sum(one != other for one, other in zip(meant, sides, strict=True))
    assert steps.get(TURNED, RepairStep(TURNED, 0)).count == flip_count
    assert (bodies.nested > 0) == alike


@pytest.mark.parametrize("seed", range(30))
def test_boxes_on_a_grid_agree_with_voxels(seed: int) -> None:
    """Each box is a set of voxels, no two are equal, so a box lies in another where its voxels do."""
    random = np.random.default_rng([15, seed])
    corners = {tuple(np.concatenate([lo, lo + random.integers(1, 4, 3)])) for lo in random.integers(0, 3, (5, 3))}
    boxes = [np.array(corner) for corner in sorted(corners)]
    cells = [np.zeros((6, 6, 6), bool) for _ in boxes]
    for cell, (x0, y0, z0, x1, y1, z1) in zip(cells, boxes, strict=True):
        cell[x0:x1, y0:y1, z0:z1] = True
    sides = [int(side) for side in random.choice([-1, 1], len(boxes))]
    meant, _ = sides_meant(cells, sides, np.count_nonzero)
    winding = sum(cell * side for cell, side in zip(cells, meant, strict=True))
    parts = [box(corner[:3].tolist(), corner[3:].tolist(), side < 0) for corner, side in zip(boxes, sides, strict=True)]
    for rotation in (None, random_rotation(random)):
        assert repair_parts(parts, rotation)[0] == pytest.approx(np.count_nonzero(winding >= 1), rel=1e-6)


def holed(side: int) -> trimesh.Trimesh:
    ball = trimesh.creation.icosphere(3, 1.0)
    ball.update_faces(np.arange(len(ball.faces)) > 3)
    return inside_out(ball) if side < 0 else ball


@pytest.mark.parametrize("seed", range(4))
def test_a_cavity_stays_where_its_holder_has_a_hole(seed: int) -> None:
    inner = trimesh.creation.icosphere(2, 0.4)
    beside = trimesh.creation.icosphere(2, 0.4).apply_translation((3, 0, 0))
    inner.invert()
    beside.invert()
    rotation = random_rotation(np.random.default_rng(seed))
    for side, flip_count in ((1, 1), (-1, 2)):
        _, steps, bodies = repair_parts([holed(side), inner, beside], rotation)
        assert steps[TURNED].count == flip_count
        assert bodies.pieces == 2


def test_ambiguous_flips_are_doubtful() -> None:
    for name, doubtful in (("overlapping", True), ("hollow part inside out", False), ("edge in common", False),
                           ("hollow part with its outside inside out", True)):  # fmt: skip
        assert repair_parts(CASES[name][0])[1][TURNED].doubtful == doubtful


class TestBodies:
    def test_a_body_nested_with_the_same_side_out_is_placed(self) -> None:
        _, _, bodies = repair_parts([cube(0, 10), cube(2, 8)])
        assert (bodies.nested, bodies.pieces) == (1, 1)
        assert bodies.side is not None
        assert sorted(bodies.side) == [0] * 12 + [1] * 12
        ((x, y, z),) = bodies.nested_places
        assert 2 <= min(x, y, z) <= max(x, y, z) <= 8
        assert repair_parts([cube(0, 10), cube(2, 8, True)])[2].nested == 0
        assert repair_parts([cube(0, 10), cube(2, 8, True), cube(4, 6, True)])[2].nested == 1
        assert repair_parts([cube(0, 10), cube(5, 15)])[2].nested == 0

    @pytest.mark.parametrize(
        ("name", "pieces"),
        [
            ("overlapping", 1), ("cavity", 1), ("pearl in a cavity", 2), ("whole face in common", 1),
            ("corner in common", 1), ("edges that cross", 1), ("two cavities that cross", 1), ("copy", 2),
        ],
    )  # fmt: skip
    def test_pieces_are_bodies_that_do_not_touch(self, name: str, pieces: int) -> None:
        bodies = repair_parts(CASES[name][0])[2]
        assert bodies.pieces == pieces

    def test_pieces_are_counted_and_placed_the_largest_first(self) -> None:
        _, _, bodies = repair_parts([cube(0, 1), cube(20, 30), cube(25, 35), cube(50, 52)])
        assert bodies.pieces == 3
        assert [min(place) // 20 * 20 for place in bodies.piece_places] == [20, 40, 0]
        assert bodies.longest_mm == pytest.approx(15)


def test_thousands_of_shells_take_n_log_n_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    from pricing_engine.kernels.runtime.search_counters import counting

    counts: dict[int, int] = {}
    for side in (8, 16):
        at = np.stack(np.unravel_index(np.arange(side**3), (side,) * 3), axis=1) * 3.0
        balls = [trimesh.creation.icosphere(0).apply_translation(place) for place in at]
        for ball in balls[::2]:
            ball.invert()
        outer = cube(-5, 3 * side + 5)
        with counting() as work:
            _, steps, bodies = repair_parts([outer, *balls])
        assert TURNED not in steps
        assert bodies.nested == len(balls) - len(balls[::2])
        counts[len(balls)] = work.nodes["nesting"] + work.pairs["nesting"]
    (few, some), (many, more) = counts.items()
    assert more < 1.6 * some * many / few * np.log2(many) / np.log2(few)
    monkeypatch.setattr(nesting, "STEPS_PER_FACET", 0.0)
    monkeypatch.setattr(nesting, "MIN_STEPS", 10)
    _, steps, bodies = repair_parts([outer, *balls])
    assert steps[UNDECIDED].count == len(balls[::2])
    assert not bodies.complete


@pytest.mark.parametrize("make", [lambda: trimesh.creation.icosphere(2), lambda: cube(0, 1)])
def test_one_closed_body_is_one_shell(make: Callable[[], trimesh.Trimesh]) -> None:
    solid = make()
    mesh = canonical(solid)
    shells = find_shells(mesh, measure_topology(mesh, 1), 1)
    assert shells.count == 1
    assert shells.closed.tolist() == [True]
    assert shells.side.tolist() == [1]
    assert shells.volume[0] == pytest.approx(solid.volume)
