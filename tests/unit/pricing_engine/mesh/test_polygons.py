"""Polygons (``mesh/polygons.py``) become triangles of the right area with the polygon's own edges, on any plane."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.mesh.load import load_model
from pricing_engine.mesh.obj import read_obj
from pricing_engine.mesh.polygons import triangulate
from pricing_engine.mesh.raw_mesh import ReaderNote
from tests.support import model_files as writers
from tests.support import worst_cases
from tests.support.meshes import Floats, Ints, signed_volume

Point = tuple[float, float]
Corners = list[Point]
Edge = tuple[tuple[float, ...], tuple[float, ...]]


def shoelace(ring: Corners) -> float:
    x, y = np.array(ring).T
    return float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2


def star(random: np.random.Generator, centre: tuple[float, float], radius: float, corners: int) -> Corners:
    """A counter-clockwise ring around ``centre`` with corners at a third to all of ``radius``."""
    angle = (np.arange(corners) + random.uniform(0.1, 0.9, corners)) * 2 * np.pi / corners
    length = radius * random.uniform(0.34, 1, corners)
    return [
        (float(centre[0] + r * np.cos(a)), float(centre[1] + r * np.sin(a))) for r, a in zip(length, angle, strict=True)
    ]


def side(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def touches(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the segments ab and cd, without a common end, meet."""
    if {a, b} & {c, d}:
        return False
    return side(a, b, c) * side(a, b, d) <= 0 and side(c, d, a) * side(c, d, b) <= 0


def edges(ring: Corners) -> list[tuple[Point, Point]]:
    return list(zip(ring, ring[1:] + ring[:1], strict=True))


def keyhole(random: np.random.Generator, outline: Corners, holes: list[Corners]) -> Corners:
    """One ring of the outline (counter-clockwise) and the holes (clockwise), each joined by a cut of no width."""
    ring = outline
    for number, hole in enumerate(holes):
        walls = edges(ring) + [edge for other in holes[number:] for edge in edges(other)]
        pairs = [(i, j) for i in range(len(ring)) for j in range(len(hole)) if ring.count(ring[i]) == 1]
        random.shuffle(pairs)
        for i, j in pairs:
            middle = ((ring[i][0] + hole[j][0]) / 2, (ring[i][1] + hole[j][1]) / 2)
            crossed = sum((c[1] > middle[1]) != (d[1] > middle[1]) and side(c, d, middle) * (d[1] - c[1]) > 0
                          for c, d in edges(outline))  # fmt: skip
            if crossed % 2 and not any(touches(ring[i], hole[j], c, d) for c, d in walls):
                ring = ring[: i + 1] + hole[j:] + hole[: j + 1] + ring[i:]
                break
        else:
            pytest.fail("no cut was found")
    return ring


def dirty(random: np.random.Generator, ring: Corners) -> list[tuple[float, float]]:
    """Add corners within straight edges (to an edge and to its way back), repeated corners and spikes."""
    middles = {frozenset(edge): (np.array(edge[0]) * 0.75 + np.array(edge[1]) * 0.25) for edge in edges(ring)
               if random.random() < 0.3}  # fmt: skip
    out = []
    for a, b in edges(ring):
        out += [a] * int(random.integers(1, 3))
        middle = middles.get(frozenset((a, b)))
        if middle is not None:
            out.append((float(middle[0]), float(middle[1])))
        if random.random() < 0.1:
            out += [(a[0] + 0.01, a[1] + 0.02), out[-1]]
    return out


def on_plane(random: np.random.Generator, ring: list[tuple[float, float]]) -> tuple[Floats, Floats]:
    """Places (n, 3) of the ring on a random plane, equal corners at bitwise equal places, and the plane's normal."""
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
    flat = np.column_stack([np.array(ring), np.zeros(len(ring))])
    out = np.empty_like(flat)
    for axis in range(3):
        out[:, axis] = flat[:, 0] * turn[0, axis] + flat[:, 1] * turn[1, axis]
    return out + random.uniform(-100, 100, 3), np.cross(turn[0], turn[1])


def check(places: Floats, normal: Floats, area: float, least: float) -> None:
    """The facets cover ``area`` once, all with the normal; their border is the polygon's, edge by edge."""
    n = len(places)
    facets, notes = triangulate(places, np.array([0, n]), np.arange(n))
    assert notes == ()
    a, b, c = (places[facets[:, i]] for i in range(3))
    areas = np.cross(b - a, c - a) / 2
    assert np.linalg.norm(areas, axis=1).sum() == pytest.approx(area, rel=1e-9)
    assert (areas @ normal).sum() == pytest.approx(area, rel=1e-9)
    assert (areas @ normal).min() > least
    border = half_edges(places, facets)
    assert border == half_edges(places, np.arange(n)[None])


def half_edges(places: Floats, rings: Ints) -> Counter[Edge]:
    """Edges by their ends' places, each edge and its way back taken off against one another."""
    count: Counter[Edge] = Counter()
    for ring in rings:
        for i, j in zip(ring, np.roll(ring, -1), strict=True):
            a, b = tuple(places[i].tolist()), tuple(places[j].tolist())
            if a != b:
                count[min(a, b), max(a, b)] += 1 if a < b else -1
    return Counter({edge: times for edge, times in count.items() if times})


@given(st.integers(0, 2**32), st.integers(3, 14), st.integers(0, 4), st.booleans())
@settings(max_examples=40, deadline=None)
def test_outlines_with_holes_on_any_plane(seed: int, corners: int, hole_count: int, with_dirt: bool) -> None:
    random = np.random.default_rng(seed)
    outline = star(random, (0, 0), 30, corners + 3 * hole_count)
    outline = [(x * 3, y * 3) for x, y in outline]
    cells = [(x, y) for x in (-8.0, 8.0) for y in (-8.0, 8.0)]
    holes = [star(random, cells[i], 6, int(random.integers(3, 9)))[::-1] for i in range(hole_count)]
    ring = keyhole(random, outline, holes)
    area = shoelace(outline) + sum(shoelace(hole) for hole in holes)
    places, normal = on_plane(random, dirty(random, ring) if with_dirt else ring)
    check(places, normal, area, -1e-9)


@given(st.integers(0, 2**32), st.integers(3, 9), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_corners_within_straight_edges_are_kept_and_no_facet_is_flat(seed: int, corners: int, parts: int) -> None:
    """Also after the coordinates were rounded to six digits, as text formats do."""
    random = np.random.default_rng(seed)
    angle = np.arange(corners) * 2 * np.pi / corners
    ring = [(10 * float(np.cos(a)), 10 * float(np.sin(a))) for a in angle]
    fine = [(a[0] + (b[0] - a[0]) * k / parts, a[1] + (b[1] - a[1]) * k / parts)
            for a, b in edges(ring) for k in range(parts)]  # fmt: skip
    shift = int(random.integers(len(fine)))
    places, normal = on_plane(random, fine[shift:] + fine[:shift])
    places = np.round(places, 6)
    n = len(places)
    facets, notes = triangulate(places, np.array([0, n]), np.arange(n))
    a, b, c = (places[facets[:, i]] for i in range(3))
    assert notes == ()
    assert len(facets) == n - 2
    assert (np.cross(b - a, c - a) @ normal).min() > 1e-5
    assert half_edges(places, facets) == half_edges(places, np.arange(n)[None])


def test_two_holes_joined_at_one_corner() -> None:
    order = [(0, 0), (1, 4), (1, 5), (2, 4), (1, 4), (0, 0), (4, 1), (4, 2), (5, 1), (4, 1), (0, 0), (10, 0), (10, 10),
             (0, 10)]  # fmt: skip
    for turn in range(len(order)):
        turned = [(float(x), float(y)) for x, y in order[turn:] + order[:turn]]
        for upside_down in (False, True):
            places = np.column_stack([np.array(turned), np.zeros(len(turned))])
            if upside_down:
                places[:, 1] *= -1
            check(places, np.array([0, 0, -1.0 if upside_down else 1.0]), 99, 1e-6)


@pytest.mark.parametrize("corners", [[], [0], [0, 1], [0, 1, 1, 0], [0, 1, 2, 1], [2, 2, 2, 2], [0, 3, 0, 1]])
def test_faces_without_area_are_left_out_and_noted(corners: list[int]) -> None:
    places = np.array([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0.0)])
    starts = np.array([0, 4, 4 + len(corners)])
    facets, notes = triangulate(places, starts, np.array([0, 1, 2, 3, *corners]))
    assert facets.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert [note.code for note in notes] == ["faces_without_area"]


def test_a_polygon_that_crosses_itself_is_noted() -> None:
    places = np.array([(0, 0, 0), (4, 0, 0), (4, 4, 0), (1, -1, 0), (-1, 3, 0), (2, 5, 0.0)])
    facets, notes = triangulate(places, np.array([0, 6]), np.arange(6))
    assert half_edges(places, facets) == half_edges(places, np.arange(6)[None])
    assert [note.code for note in notes] == ["concave_fan"]


@pytest.mark.parametrize("form", ["obj", "off", "ply"])
def test_plate_with_keyholes_is_closed_and_has_its_volume(tmp_path: Path, form: str) -> None:
    """Two holed plates and their walls, which name a corner within a straight edge that the plates have too."""
    random = np.random.default_rng(3)
    outline: Corners = [(0.0, 0.0), (15.0, 0.0), (30.0, 0.0), (30.0, 20.0), (0.0, 20.0)]
    holes = [star(random, (8, 10), 6, 7)[::-1], star(random, (22, 10), 6, 9)[::-1]]
    ring = keyhole(random, outline, holes)
    places = sorted({*outline, *holes[0], *holes[1]})
    vertices = np.array([(x, y, z) for z in (0.0, 3.0) for x, y in places])
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
    vertices = np.round(vertices @ (turn * np.sign(np.linalg.det(turn))), 7)
    top = [len(places) + places.index(corner) for corner in ring]
    walls = [(places.index(a), places.index(b), len(places) + places.index(b), len(places) + places.index(a))
             for part in (outline, *holes) for a, b in edges(part)]  # fmt: skip
    faces = [top, [v - len(places) for v in top[::-1]], *walls]
    path = tmp_path / f"plate.{form}"
    path.write_bytes(getattr(writers, form)(vertices, faces))
    loaded = load_model(path, None, 1)
    mesh = loaded.mesh
    assert loaded.notes == ()
    assert signed_volume(mesh.vertices, mesh.facets) == pytest.approx(
        3 * (600 + shoelace(holes[0]) + shoelace(holes[1])), rel=1e-6
    )
    assert not half_edges(mesh.vertices, mesh.facets)


def test_a_polygon_that_winds_twice_counts_twice() -> None:
    vertices, facets, _ = read_polygon(worst_cases.repeated_polygon(4, "obj"))
    a, b, c = (vertices[facets[:, i]] for i in range(3))
    assert np.cross(b - a, c - a)[:, 2].tolist() == [100, 100]


def read_polygon(content: bytes) -> tuple[Floats, Ints, tuple[ReaderNote, ...]]:
    parsed = read_obj(content)
    return parsed.vertices, parsed.facets, parsed.notes
