"""Meshes that make a careless search quadratic: equal, coplanar, crossing, touching, nested and degenerate facets.

``KINDS`` maps a name to a function of the number of facets n. Each returns vertices (V, 3) float64 in mm and facets
(F, 3) int64 with F between n / 2 and n, the same for the same n. The writers make the small files in which a customer,
or an attacker, would send such a mesh.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tests.support import model_files

Soup = tuple[NDArray[np.float64], NDArray[np.int64]]

_SIZE = 20.0  # mm


def _random(n: int) -> np.random.Generator:
    return np.random.default_rng([17, n])


def _soup(corners: NDArray[np.float64]) -> Soup:
    """Facets (F, 3, 3) that share no vertex number; equal positions are left to the welding."""
    corners = np.asarray(corners, np.float64)
    return corners.reshape(-1, 3), np.arange(3 * len(corners)).reshape(-1, 3)


def _directions(count: int) -> NDArray[np.float64]:
    """Unit vectors (count, 3), evenly spread over the sphere."""
    index = np.arange(count) + 0.5
    z = 1 - 2 * index / count
    angle = index * np.pi * (3 - np.sqrt(5))
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], axis=1)


# Equal and nearly equal facets


def equal(n: int) -> Soup:
    """One facet n times."""
    return np.array([[0.0, 0, 0], [_SIZE, 0, 0], [0, _SIZE, 0]]), np.tile([0, 1, 2], (n, 1))


def equal_both_ways(n: int) -> Soup:
    """One facet n times, every other one reversed."""
    vertices, facets = equal(n)
    facets[1::2] = facets[1::2, ::-1]
    return vertices, facets


def equal_tetrahedra(n: int) -> Soup:
    """One closed tetrahedron n / 4 times."""
    vertices = np.array([[0.0, 0, 0], [_SIZE, 0, 0], [0, _SIZE, 0], [0, 0, _SIZE]])
    return vertices, np.tile([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]], (n // 4, 1))


def _jittered(n: int, amount: float) -> Soup:
    vertices, facets = equal(n)
    corners = vertices[facets]
    return _soup(corners + amount * _SIZE * _random(n).uniform(-1, 1, corners.shape))


def jittered_1e_6(n: int) -> Soup:
    """One facet n times, each corner moved by up to 1e-6 of its size."""
    return _jittered(n, 1e-6)


def jittered_1e_9(n: int) -> Soup:
    """One facet n times, each corner moved by up to 1e-9 of its size."""
    return _jittered(n, 1e-9)


def jittered_tetrahedra(n: int) -> Soup:
    """Closed tetrahedra that differ from one another by 1e-7 of their size."""
    vertices, facets = equal_tetrahedra(4)
    count = n // 4
    moved = vertices + 1e-7 * _SIZE * _random(n).uniform(-1, 1, (count, 4, 3))
    return moved.reshape(-1, 3), (facets + 4 * np.arange(count)[:, None, None]).reshape(-1, 3)


# Coplanar facets


def coplanar(n: int) -> Soup:
    """Facets of random corners in one plane, each over about a tenth of the others."""
    corners = np.zeros((n, 3, 3))
    corners[:, :, :2] = _SIZE * _random(n).random((n, 3, 2))
    return _soup(corners)


def coplanar_tilted(n: int) -> Soup:
    """As ``coplanar``, in an oblique plane, so that rounding leaves no four corners in exactly one plane."""
    vertices, facets = coplanar(n)
    rotation = np.linalg.qr(np.array([[1.0, 2, 3], [4, 5, 7], [2, 9, 4]]))[0]
    return vertices @ rotation.T, facets


def nested_coplanar(n: int) -> Soup:
    """Facets in one plane, each within the next."""
    shape = np.array([[-1.0, -1, 0], [1, -1, 0], [0, 1, 0]])
    return _soup(shape * (_SIZE * np.arange(1, n + 1) / n)[:, None, None])


def large_over_small(n: int) -> Soup:
    """One huge facet in the plane of n - 1 small ones that do not overlap."""
    side = int(np.ceil(np.sqrt(n - 1)))
    at = np.stack(np.divmod(np.arange(n - 1), side), axis=1) * (_SIZE / side)
    small = np.zeros((n - 1, 3, 3))
    small[:, :, :2] = at[:, None] + np.array([[0.1, 0.1], [0.9, 0.1], [0.1, 0.9]]) * (_SIZE / side)
    huge = np.array([[[-_SIZE, -_SIZE, 0.0], [4 * _SIZE, -_SIZE, 0], [-_SIZE, 4 * _SIZE, 0]]])
    return _soup(np.concatenate([huge, small]))


def large_through_small(n: int) -> Soup:
    """One huge facet that cuts through n - 1 small ones."""
    vertices, facets = large_over_small(n)
    vertices[3:].reshape(-1, 3, 3)[:, 2, 2] = 0.01 * _SIZE
    vertices[3:].reshape(-1, 3, 3)[:, :2, 2] = -0.01 * _SIZE
    return vertices, facets


# Layers: near, not touching


def stacked_sheets(n: int) -> Soup:
    """n / 2 parallel squares of two facets, one micrometre apart."""
    square = np.array([[0.0, 0, 0], [_SIZE, 0, 0], [_SIZE, _SIZE, 0], [0, _SIZE, 0]])
    count = n // 2
    vertices = np.tile(square, (count, 1, 1))
    vertices[:, :, 2] = 1e-3 * np.arange(count)[:, None]
    facets = np.array([[0, 1, 2], [0, 2, 3]]) + 4 * np.arange(count)[:, None, None]
    return vertices.reshape(-1, 3), facets.reshape(-1, 3)


def stacked_plates(n: int) -> Soup:
    """n / 12 closed plates on one another, with gaps as thin as they are."""
    count = max(1, n // 12)
    step = _SIZE / count
    sizes = np.tile([_SIZE, _SIZE, step / 2], (count, 1))
    origins = np.zeros((count, 3))
    origins[:, 2] = step * np.arange(count)
    return _boxes(origins, sizes)


def nested_shells(n: int) -> Soup:
    """n / 12 closed boxes, each within the next: a winding number of thousands in the middle."""
    count = max(1, n // 12)
    sizes = (_SIZE * np.arange(1, count + 1) / count)[:, None] * np.ones(3)
    return _boxes(-sizes / 2, sizes)


def _boxes(origins: NDArray[np.float64], sizes: NDArray[np.float64]) -> Soup:
    unit, facets = model_files.box((1.0, 1.0, 1.0))
    vertices = origins[:, None] + unit * sizes[:, None]
    return vertices.reshape(-1, 3), (facets + 8 * np.arange(len(origins))[:, None, None]).reshape(-1, 3)


# Facets around one edge or vertex


def around_edge(n: int) -> Soup:
    """n facets round one edge, at equal angles."""
    angle = 2 * np.pi * np.arange(n) / n
    rim = np.stack([_SIZE * np.cos(angle), _SIZE * np.sin(angle), np.full(n, _SIZE / 2)], axis=1)
    vertices = np.concatenate([[[0.0, 0, 0], [0, 0, _SIZE]], rim])
    return vertices, np.stack([np.zeros(n, int), np.ones(n, int), 2 + np.arange(n)], axis=1)


def around_edge_same_angle(n: int) -> Soup:
    """n facets on one edge, all in one plane and to one side."""
    tip = np.zeros((n, 3))
    tip[:, 0] = _SIZE * np.arange(1, n + 1) / n
    tip[:, 2] = _SIZE * _random(n).random(n)
    vertices = np.concatenate([[[0.0, 0, 0], [0, 0, _SIZE]], tip])
    return vertices, np.stack([np.zeros(n, int), np.ones(n, int), 2 + np.arange(n)], axis=1)


def star(n: int) -> Soup:
    """n narrow facets around one vertex, in all directions, none touching another elsewhere."""
    out = _directions(n)
    side = np.cross(out, [0.36, 0.48, 0.8])
    side *= 0.2 / np.sqrt(n) / np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    corners = np.stack([np.zeros((n, 3)), _SIZE * (out - side), _SIZE * (out + side)], axis=1)
    return _soup(corners)


def star_wide(n: int) -> Soup:
    """n wide facets around one vertex: each crosses many others on a line through it."""
    random = _random(n)
    corners = np.stack([np.zeros((n, 3)), *(_SIZE * _directions(n)[random.permutation(n)] for _ in range(2))], axis=1)
    return _soup(corners)


def nested_fan(n: int) -> Soup:
    """n facets in one plane around one vertex, each overlapping the next ones."""
    angle = np.pi / 2 * np.arange(n) / n
    corners = np.zeros((n, 3, 3))
    corners[:, 1] = _SIZE * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    corners[:, 2] = _SIZE * np.stack([np.cos(angle + 0.7), np.sin(angle + 0.7), 0 * angle], axis=1)
    return _soup(corners)


def disc(n: int) -> Soup:
    """A flat fan of n facets around one vertex that share edges and do not overlap."""
    angle = 2 * np.pi * np.arange(n) / n
    rim = np.stack([_SIZE * np.cos(angle), _SIZE * np.sin(angle), 0 * angle], axis=1)
    facets = np.stack([np.zeros(n, int), 1 + np.arange(n), 1 + np.arange(1, n + 1) % n], axis=1)
    return np.concatenate([[[0.0, 0, 0]], rim]), facets


def cones(n: int) -> Soup:
    """Two cones of n / 2 facets each, point to point, closed by flat fans: two vertices of very high degree."""
    k = max(3, n // 4)
    angle = 2 * np.pi * np.arange(k) / k
    ring = np.stack([_SIZE * np.cos(angle), _SIZE * np.sin(angle), 0 * angle], axis=1)
    vertices = [[[0.0, 0, 0]]]
    facets = []
    for up in (1, -1):
        first = sum(map(len, vertices))
        vertices += [[[0.0, 0, up * _SIZE]], ring + np.array([0, 0, up * _SIZE])]
        rim, following = first + 1 + np.arange(k), first + 1 + np.arange(1, k + 1) % k
        if up < 0:
            rim, following = following, rim
        facets += [np.stack([0 * rim, following, rim], 1), np.stack([first + 0 * rim, rim, following], 1)]
    return np.concatenate(vertices), np.concatenate(facets)


# Facets that cross


def crossing_fins(n: int) -> Soup:
    """A comb through a comb: n / 2 thin facets along x, n / 2 along y, each through all of the other kind."""
    half = n // 2
    at = _SIZE * (np.arange(half) + 0.5) / half
    along_x, along_y = np.zeros((half, 3, 3)), np.zeros((half, 3, 3))
    along_x[:, :, 0], along_y[:, :, 1] = [-1.0, 22, -1], [-1.0, 22, -1]
    along_x[:, :, 1], along_y[:, :, 0] = at[:, None], at[:, None]
    along_x[:, :, 2], along_y[:, :, 2] = [-1.0, -1, 1], [-1.1, -1.1, 1.1]
    return _soup(np.concatenate([along_x, along_y]))


def touching_fins(n: int) -> Soup:
    """Parallel fins, a micrometre apart and oblique to all axes: every box overlaps every other, nothing meets."""
    normal, along = np.array([1.0, 1, 1]) / np.sqrt(3), np.array([1.0, -1, 0]) / np.sqrt(2)
    across = np.cross(normal, along)
    fin = np.stack([-along, along, across]) * _SIZE
    return _soup(fin + (1e-3 * np.arange(n))[:, None, None] * normal)


def fins_on_plate(n: int) -> Soup:
    """n - 1 fins that stand with one corner on a huge facet: each touches it and nothing crosses."""
    vertices, facets = large_over_small(n)
    vertices[3:].reshape(-1, 3, 3)[:, 1:, 2] = 0.01 * _SIZE
    return vertices, facets


def needles(n: int) -> Soup:
    """n long needles that all pass through one point."""
    out = _directions(2 * n)[::2]
    side = np.cross(out, [0.36, 0.48, 0.8])
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    return _soup(_SIZE * np.stack([-out, out + 1e-3 * side, out - 1e-3 * side], axis=1))


def slivers(n: int) -> Soup:
    """A ball of random slivers as long as the ball and a thousandth as wide."""
    random = _random(n)
    start, end = (_SIZE * _directions(n)[random.permutation(n)] for _ in range(2))
    return _soup(np.stack([start, end, end + 1e-3 * _SIZE * random.uniform(-1, 1, (n, 3))], axis=1))


def tangle(n: int) -> Soup:
    """n facets of random corners in a box: each crosses a share of all others."""
    return _soup(_SIZE * _random(n).random((n, 3, 3)))


# Many bodies, degenerate facets


def tiny_bodies(n: int) -> Soup:
    """n / 4 tetrahedra on a grid, apart from one another."""
    count = max(1, n // 4)
    side = int(np.ceil(count ** (1 / 3)))
    at = np.stack(np.unravel_index(np.arange(count), (side, side, side)), axis=1) * (_SIZE / side)
    vertices, facets = equal_tetrahedra(4)
    corners = at[:, None] + vertices / (_SIZE * 2) * (_SIZE / side)
    return corners.reshape(-1, 3), (facets + 4 * np.arange(count)[:, None, None]).reshape(-1, 3)


def inverted_bodies(n: int) -> Soup:
    """``tiny_bodies`` turned inside out, under one large closed body that is not."""
    vertices, facets = tiny_bodies(max(4, n - 12))
    outer, sides = _boxes(np.full((1, 3), -_SIZE), np.full((1, 3), 3 * _SIZE))
    return np.concatenate([outer, vertices]), np.concatenate([sides, facets[:, ::-1] + len(outer)])


def inverted_nested_shells(n: int) -> Soup:
    """``nested_shells``, all inside out."""
    vertices, facets = nested_shells(n)
    return vertices, facets[:, ::-1]


def inverted_stacked_plates(n: int) -> Soup:
    """``stacked_plates``, all inside out."""
    vertices, facets = stacked_plates(n)
    return vertices, facets[:, ::-1]


def collinear(n: int) -> Soup:
    """Facets without area, all on one line, overlapping."""
    corners = np.zeros((n, 3, 3))
    corners[:, :, 0] = _SIZE * _random(n).random((n, 3))
    return _soup(corners)


def repeated_corners(n: int) -> Soup:
    """Facets that name one vertex twice, and one proper tetrahedron."""
    vertices, facets = equal_tetrahedra(4)
    return vertices, np.concatenate([facets, np.tile([0, 1, 1], (max(0, n - 4), 1))])


def one_box(n: int) -> Soup:
    """Facets of random edges on three opposite corners of a box: equal boxes, different facets."""
    random = _random(n)
    corners = np.zeros((n, 3, 3))
    corners[:, 1] = _SIZE
    corners[:, 2] = _SIZE * random.random((n, 3))
    return _soup(corners)


def one_middle(n: int) -> Soup:
    """Facets of very different sizes around one middle, in parallel planes: they share one place in a spatial order."""
    size = _SIZE * np.geomspace(1e-6, 1, n)
    shape = np.array([[-1.0, -1, 0], [1, -1, 0], [0, 2, 0]]) / 2
    corners = shape * size[:, None, None]
    corners[:, :, 2] = (1e-9 * _SIZE * np.arange(n))[:, None]
    return _soup(corners)


def long_and_small(n: int) -> Soup:
    """n / 2 long thin facets beside one another, mixed with n / 2 tiny ones: every leaf's box is long."""
    half = n // 2
    at = _SIZE * np.arange(half) / half
    thin, tiny = np.zeros((half, 3, 3)), np.zeros((half, 3, 3))
    thin[:, :, 0], tiny[:, :, 0] = [0, _SIZE, _SIZE / 2], _SIZE / 2 + np.array([0.0, 1e-4, 0])
    thin[:, :, 1] = at[:, None]
    tiny[:, :, 1] = at[:, None] + 0.3 * _SIZE / half
    thin[:, :, 2], tiny[:, :, 2] = [0, 0, 1e-3], [0.0, 0, 1e-4]
    return _soup(np.stack([thin, tiny], axis=1).reshape(-1, 3, 3))


def open_rims(n: int) -> Soup:
    """n / 4 tetrahedra without a side, one within the other: as many rims to close, all on one another."""
    vertices, facets = equal_tetrahedra(4)
    count = max(1, n // 3)
    scale = 0.5 + 0.5 * np.arange(1, count + 1) / count
    moved = (vertices - _SIZE / 4) * scale[:, None, None]
    return moved.reshape(-1, 3), (facets[:3] + 4 * np.arange(count)[:, None, None]).reshape(-1, 3)


KINDS: dict[str, Callable[[int], Soup]] = {
    kind.__name__: kind
    for kind in (
        equal, equal_both_ways, equal_tetrahedra, jittered_1e_6, jittered_1e_9, jittered_tetrahedra,
        coplanar, coplanar_tilted, nested_coplanar, large_over_small, large_through_small,
        stacked_sheets, stacked_plates, nested_shells,
        around_edge, around_edge_same_angle, star, star_wide, nested_fan, disc, cones,
        crossing_fins, touching_fins, fins_on_plate, needles, slivers, tangle,
        tiny_bodies, inverted_bodies, inverted_nested_shells, inverted_stacked_plates,
        collinear, repeated_corners, one_box, one_middle, long_and_small, open_rims,
    )
}  # fmt: skip


# Small files


def ply(vertices: NDArray[np.float64], facets: NDArray[np.int64]) -> bytes:
    """A binary PLY: 24 bytes a vertex in float64, 13 bytes a facet."""
    head = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(vertices)}\n"
    head += "".join(f"property double {axis}\n" for axis in "xyz")
    head += f"element face {len(facets)}\nproperty list uchar int vertex_indices\nend_header\n"
    rows = np.zeros(len(facets), [("count", "u1"), ("corners", "<i4", 3)])
    rows["count"], rows["corners"] = 3, facets
    return head.encode() + np.ascontiguousarray(vertices, "<f8").tobytes() + rows.tobytes()


def repeated_polygon(n: int, form: str) -> bytes:
    """One polygon that names the same three corners until it has n facets: 2 bytes a corner in ``obj`` and ``off``.

    ``form``: obj, off or ply.
    """
    return polygon_file(np.array([[0.0, 0, 0], [10, 0, 0], [0, 10, 0]]), np.arange(n + 2) % 3, form)


def zigzag_polygon(n: int, form: str) -> bytes:
    """One simple polygon of n + 2 corners whose every other corner is reflex: the worst for cutting ears."""
    count = (n + 2) // 2
    x = np.arange(count, dtype=np.float64)
    near = np.stack([x, np.where(np.arange(count) % 2, 0.4, 0.0), 0 * x], axis=1)
    far = np.stack([x, np.where(np.arange(count) % 2, 0.5, 0.1), 0 * x], axis=1)[::-1]
    return polygon_file(np.concatenate([near, far]), np.arange(2 * count), form)


def spiral_polygon(n: int, form: str) -> bytes:
    """One simple polygon that winds round its middle many times."""
    count = (n + 2) // 2
    angle = np.sqrt(np.arange(count)) * 2
    radius = 1 + angle
    outer = np.stack([radius * np.cos(angle), radius * np.sin(angle), 0 * angle], axis=1)
    inner = np.stack([(radius - 0.5) * np.cos(angle), (radius - 0.5) * np.sin(angle), 0 * angle], axis=1)[::-1]
    return polygon_file(np.concatenate([outer, inner]), np.arange(2 * count), form)


def polygon_file(vertices: NDArray[np.float64], corners: NDArray[np.int64], form: str) -> bytes:
    """A file of one polygon."""
    rows = [" ".join(f"{float(x):.9g}" for x in vertex) for vertex in vertices]
    names = " ".join(map(str, corners.tolist()))
    if form == "obj":
        names = " ".join(map(str, (corners + 1).tolist()))
        return "\n".join([*(f"v {row}" for row in rows), f"f {names}", ""]).encode()
    if form == "off":
        return "\n".join(["OFF", f"{len(rows)} 1 0", *rows, f"{len(corners)} {names}", ""]).encode()
    head = ["ply", "format ascii 1.0", f"element vertex {len(rows)}", *(f"property double {axis}" for axis in "xyz")]
    head += ["element face 1", "property list int int vertex_indices", "end_header"]
    return "\n".join([*head, *rows, f"{len(corners)} {names}", ""]).encode()
