"""Readers of all formats (``mesh/load.py``): the same box from each, units, polygons, placements, real files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing_engine.mesh import step_mesher
from pricing_engine.mesh.load import LoadedModel, load_model
from pricing_engine.mesh.number_scanner import read_numbers
from pricing_engine.mesh.polygons import triangulate
from tests.support import model_files as writers
from tests.support.meshes import Floats, Ints, signed_volume
from tests.support.paths import SHARED_MODELS

Load = Callable[..., LoadedModel]
BOX = writers.box()


def facet_set(vertices: Floats, facets: Ints) -> list[tuple[tuple[float, ...], ...]]:
    """Return facets as sorted coordinates, each from its lowest corner: equal for equal oriented soups."""
    out = []
    for facet in facets:
        corners = [tuple(vertices[v]) for v in facet]
        first = corners.index(min(corners))
        out.append(tuple(corners[first:] + corners[:first]))
    return sorted(out)


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load_bytes(content: bytes, name: str = "model.bin", unit: str | None = None, threads: int = 2) -> LoadedModel:
        path = tmp_path / name
        path.write_bytes(content)
        return load_model(path, unit, threads)

    return load_bytes


V, F = BOX
SAME_BOX = {
    "stl": [writers.stl_binary(V, F), writers.stl_binary(V, F, b"solid box"), writers.stl_ascii(V, F),
            b"\xef\xbb\xbf" + writers.stl_ascii(V, F), writers.stl_ascii(V, F).upper(),
            writers.stl_ascii(V, F).replace(b"\n", b"\r\n  ")],
    "obj": [writers.obj(V, F), writers.obj(V, writers.quads()), writers.obj(V, F, base=-8).replace(b"f 0", b"f -8"),
            writers.obj(V, F).replace(b"f 1 ", b"f 1/2/3 ").replace(b"f 2 ", b"f 2//5 "),
            writers.obj(V, F).replace(b"f 1 ", b"f 1 \\\n"), b"# c:\\dir\\\n" + writers.obj(V, F)],
    "off": [writers.off(V, F), writers.off(V, writers.quads()),
            writers.off(V, F).replace(b"OFF # comment\n8", b"OFF 8").replace(b"\n3 ", b"\n# again\n\n3 "),
            writers.off(V, F).replace(b"OFF", b"COFF").replace(b".0\n", b".0 255 0 0 1.0\n")],
    "ply": [writers.ply(V, faces, order) for faces in (F, writers.quads())
            for order in ("ascii", "binary_little_endian", "binary_big_endian")],
    "3mf": [writers.threemf(V, F), writers.threemf(V, F, stored=True)],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "content"), [(kind, content) for kind, all_ in SAME_BOX.items() for content in all_])
def test_box_is_read_from_every_format(load: Load, kind: str, content: bytes) -> None:
    loaded = load(content, f"box.{kind}")
    assert (loaded.format, loaded.unit, loaded.bytes, loaded.notes) == (kind, "mm", len(content), ())
    assert loaded.sha256 == hashlib.sha256(content).hexdigest()
    assert loaded.mesh.facets.shape == (12, 3)
    assert loaded.mesh.vertices.shape == (8, 3)
    assert signed_volume(loaded.mesh.vertices, loaded.mesh.facets) == pytest.approx(6000, rel=1e-12)


@pytest.mark.parametrize("kind", ["stl", "stl_ascii", "obj", "ply", "off", "glb"])
def test_files_of_trimesh_have_the_same_facets(load: Load, kind: str) -> None:
    random = np.random.default_rng(7)
    vertices = random.normal(size=(60, 3)).astype(np.float32).astype(float)
    facets = np.array([random.choice(60, 3, replace=False) for _ in range(200)])
    mesh = trimesh.Trimesh(vertices, facets, process=False)
    content = mesh.export(file_type=kind)
    content = content.encode() if isinstance(content, str) else content
    loaded = load(content)
    scale = 1000.0 if kind == "glb" else 1.0
    assert loaded.mesh.facet_count == 200
    digits = 6 if kind in ("stl_ascii", "obj", "off", "ply") else 12
    got = np.sort(loaded.mesh.vertices[loaded.mesh.facets].reshape(-1, 9).sum(axis=1))
    assert got == pytest.approx(
        np.sort((vertices * scale)[facets].reshape(-1, 9).sum(axis=1)), abs=scale * 10.0**-digits
    )
    if kind == "stl":
        assert facet_set(loaded.mesh.vertices, loaded.mesh.facets) == facet_set(vertices, facets)


@pytest.mark.parametrize(("unit", "scale"), [("mm", 1), ("cm", 10), ("m", 1000), ("in", 25.4), (None, 1)])
@pytest.mark.parametrize("kind", ["stl", "obj", "off", "ply"])
def test_unitless_formats_have_the_unit_of_the_request(load: Load, kind: str, unit: str, scale: float) -> None:
    loaded = load(SAME_BOX[kind][0], unit=unit)
    assert loaded.unit == (unit or "mm")
    assert loaded.mesh.vertices.max(axis=0) == pytest.approx(np.array([10, 20, 30]) * scale)


def test_unknown_unit_raises_value_error(load: Load) -> None:
    with pytest.raises(ValueError, match="furlong"):
        load(SAME_BOX["stl"][0], unit="furlong")


def test_wrong_suffix_is_noted(load: Load) -> None:
    assert [n.code for n in load(SAME_BOX["ply"][1], "box.stl").notes] == ["suffix_disagrees"]
    assert [n.code for n in load(SAME_BOX["stl"][1], "BOX.STL").notes] == []


def test_trailing_bytes_of_binary_stl_are_noted(load: Load) -> None:
    assert [n.code for n in load(SAME_BOX["stl"][0] + b"xyz", "a.stl").notes] == ["trailing_bytes"]


def test_a_file_may_have_one_facet(load: Load) -> None:
    assert load(writers.stl_binary(V, F[:1])).mesh.facet_count == 1


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_result_is_independent_of_threads(load: Load, threads: int) -> None:
    sphere = trimesh.creation.icosphere(4)
    content = writers.stl_ascii(sphere.vertices, sphere.faces)
    one, many = load(content, threads=1), load(content, threads=threads)
    assert one.mesh.facets.tobytes() == many.mesh.facets.tobytes()
    assert one.mesh.vertices.tobytes() == many.mesh.vertices.tobytes()


class TestNumbers:
    @given(
        st.lists(st.floats(-1e12, 1e12) | st.floats(-1e-6, 1e-6), min_size=1),
        st.sampled_from(["r", ".9e", ".17g", ".3f"]),
    )
    @settings(max_examples=25, deadline=None)
    def test_numbers_are_the_nearest_doubles(self, values: list[float], form: str) -> None:
        values = [0.0 if abs(v) < 1e-250 else v for v in values]  # below, the last bit may differ
        words = [repr(v) if form == "r" else format(v, form) for v in values]
        assert read_numbers(" ".join(words).encode(), 0)[0].tolist() == [float(w) for w in words]

    def test_odd_spellings_of_numbers_are_read(self) -> None:
        text = b"+1 -.5 5. 1e3 1E-2 0e99 00012 nan -inf 1.#QNAN 1.5#x\n123456789012345678901234567890 1e400 1e-400"
        values, lines = read_numbers(text, 0)
        assert values[:7].tolist() == [1, -0.5, 5, 1000, 0.01, 0, 12]
        assert np.isnan(values[7:10]).all()
        assert values[10] == 1.5
        assert float(values[11]) == pytest.approx(float(Fraction(123456789012345678901234567890)), rel=1e-15)
        assert values[12:].tolist() == [np.inf, 0]
        assert lines.tolist() == [0, 11, 14]


class TestPolygons:
    def test_concave_polygon_keeps_its_area(self, load: Load) -> None:
        outline = [(0, 0), (4, 0), (4, 4), (3, 4), (3, 1), (1, 1), (1, 4), (0, 4)]  # a U: 4*4 - 2*3 = 10
        for turn in range(8):
            corners = outline[turn:] + outline[:turn]
            loaded = load(writers.obj(np.array([(x, 5.0, y) for x, y in corners]), [range(8)]), "u.obj")
            a, b, c = (loaded.mesh.vertices[loaded.mesh.facets[:, i]] for i in range(3))
            area = np.cross(b - a, c - a) / 2
            assert loaded.mesh.facet_count == 6
            assert np.linalg.norm(area, axis=1).sum() == pytest.approx(10)
            assert area.sum(axis=0) == pytest.approx([0, -10, 0])

    @given(st.integers(3, 12), st.integers(0, 2**32))
    @settings(max_examples=25, deadline=None)
    def test_star_shaped_polygons_keep_their_area(self, n: int, seed: int) -> None:
        random = np.random.default_rng(seed)
        angle = np.arange(n) * 2 * np.pi / n
        points = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1) * random.uniform(0.2, 1, (n, 1))
        facets, notes = triangulate(points, np.array([0, n]), np.arange(n))
        x, y = points[:, 0], points[:, 1]
        shoelace = float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2
        areas = (
            np.cross(points[facets[:, 1]] - points[facets[:, 0]], points[facets[:, 2]] - points[facets[:, 0]])[:, 2] / 2
        )
        assert notes == ()
        assert len(facets) == n - 2
        assert np.abs(areas).sum() == pytest.approx(shoelace)
        assert areas.sum() == pytest.approx(shoelace)


class TestPly:
    @pytest.mark.parametrize("order", ["ascii", "binary_little_endian", "binary_big_endian"])
    def test_strips_become_oriented_facets(self, load: Load, order: str) -> None:
        strip = [0, 1, 2, 3, -1, 3, 2, 4, 4]
        points = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0), (0.5, 2, 0)], float)
        mesh = load(writers.ply_strip(points, strip, order)).mesh
        expected = np.array([(0, 1, 2), (2, 1, 3), (3, 2, 4)])
        assert facet_set(mesh.vertices, mesh.facets) == facet_set(points, expected)


class TestThreemf:
    @pytest.mark.parametrize(
        ("name", "unit", "scale"),
        [("micron", "um", 1e-3), ("millimeter", "mm", 1), ("centimeter", "cm", 10), ("inch", "in", 25.4),
         ("foot", "ft", 304.8), ("meter", "m", 1000)],
    )  # fmt: skip
    def test_the_file_names_its_own_unit(self, load: Load, name: str, unit: str, scale: float) -> None:
        loaded = load(writers.threemf(V, F, attributes=f'unit="{name}"'), "a.3mf", unit="cm")
        assert loaded.unit == unit
        assert loaded.mesh.vertices.max(axis=0) == pytest.approx(np.array([10, 20, 30]) * scale)
        assert [n.code for n in loaded.notes] == ([] if unit == "cm" else ["unit_in_file"])

    def test_items_components_and_other_parts_are_placed(self, load: Load) -> None:
        mesh = writers.mesh_xml(V, F)
        other = writers.model_xml(f'<object id="5" type="model">{mesh}</object>', "")
        resources = (
            f'<object id="1">{mesh}</object><object id="2" type="support">{mesh}</object><object id="9">{mesh}</object>'
            '<object id="3"><components><component objectid="1" transform="1 0 0 0 1 0 0 0 1 100 0 0"/>'
            '<component objectid="2"/><component p:path="/3D/other.model" objectid="5"/></components></object>'
        )
        build = (
            '<item objectid="3" transform="0 1 0 -1 0 0 0 0 1 0 0 0"/>'
            '<item objectid="1" transform="-1 0 0 0 1 0 0 0 1 0 0 500"/>'
        )
        production = "http://schemas.microsoft.com/3dmanufacturing/production/2015/06"
        root = writers.model_xml(resources, build, f'unit="millimeter" xmlns:p="{production}" requiredextensions="p"')
        loaded = load(writers.package({"3D/3dmodel.model": root, "3D/other.model": other}), "a.3mf")
        assert loaded.mesh.facet_count == 36
        assert [n.code for n in loaded.notes] == ["not_model_objects"]
        assert signed_volume(loaded.mesh.vertices, loaded.mesh.facets) == pytest.approx(18000)
        assert loaded.mesh.vertices.min(axis=0) == pytest.approx(
            [-20, 0, 0]
        )  # (x, y) -> (-y, x); the mirrored one at z 500
        assert loaded.mesh.vertices.max(axis=0) == pytest.approx([0, 110, 530])

    @pytest.mark.parametrize(("name", "facets"), [("dodeca_chain_loop", 7680), ("seam_test_object", 225154)])
    def test_real_files_have_their_facets(self, name: str, facets: int) -> None:
        for path in SHARED_MODELS.glob(f"{name}.3mf"):
            assert load_model(path, None, 2).mesh.facet_count == facets


class TestGlb:
    def test_nodes_are_placed_in_metres(self, load: Load) -> None:
        turn = [0.0, 0.0, float(np.sqrt(0.5)), float(np.sqrt(0.5))]  # 90 degrees about z
        nodes: list[writers.Properties] = [
            {"children": [1, 2]},
            {"mesh": 0, "translation": [1, 0, 0], "rotation": turn},
            {"mesh": 0, "matrix": [-1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 5, 1]},
        ]
        loaded = load(writers.glb(V / 1000, F, nodes), "a.glb")
        assert (loaded.unit, loaded.format, loaded.mesh.facet_count) == ("m", "glb", 24)
        assert signed_volume(loaded.mesh.vertices, loaded.mesh.facets) == pytest.approx(12000, rel=1e-5)
        assert loaded.mesh.vertices.min(axis=0) == pytest.approx([-10, 0, 0], abs=1e-3)
        assert loaded.mesh.vertices.max(axis=0) == pytest.approx([1000, 20, 5030], rel=1e-6)

    def test_strips_and_fans_become_oriented_facets(self, load: Load) -> None:
        points = np.array([(0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)], float)
        for mode, expected in ((5, [(0, 1, 2), (2, 1, 3)]), (6, [(0, 1, 2), (0, 2, 3)])):
            meshes = [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "mode": mode}]}]
            mesh = load(writers.glb(points, [0, 1, 2, 3], tree={"meshes": meshes})).mesh
            assert facet_set(mesh.vertices, mesh.facets) == facet_set(points * 1000, np.array(expected))


class TestStep:
    @pytest.mark.parametrize(("unit", "scale"), [("mm", 1), ("in", 25.4)])
    def test_a_box_is_read_in_its_own_unit(self, load: Load, unit: str, scale: float) -> None:
        loaded = load(writers.step_box((10.0, 20.0, 30.0), unit), "box.step")
        assert (loaded.format, loaded.unit, loaded.mesh.facet_count, len(loaded.mesh.vertices)) == ("step", unit, 12, 8)
        assert loaded.mesh.vertices.min(axis=0) == pytest.approx([0, 0, 0], abs=1e-6)
        assert loaded.mesh.vertices.max(axis=0) == pytest.approx(np.array([10, 20, 30]) * scale, rel=1e-6)
        assert signed_volume(loaded.mesh.vertices, loaded.mesh.facets) == pytest.approx(6000 * scale**3, rel=1e-6)

    @pytest.mark.parametrize(
        ("content", "exact"),
        [
            (writers.step_cylinder(10.3, 7.7), np.pi * 10.3**2 * 7.7),
            (writers.step_sphere(0.5), 4 / 3 * np.pi * 0.5**3),
            (writers.step_torus(3, 1.2), 2 * np.pi**2 * 3 * 1.2**2),
            (writers.step_band(10, 8.5, 6), np.pi * (10**2 - 8.5**2) * 6),
        ],
    )
    def test_round_shapes_are_closed_and_within_a_thousandth(self, load: Load, content: bytes, exact: float) -> None:
        """Faces are meshed one by one; their edges must agree bit for bit to be watertight."""
        loaded = load(content, "round.stp")
        mesh = loaded.mesh
        facets = mesh.facets[np.diff(np.sort(mesh.facets, axis=1), axis=1).all(axis=1)]  # poles have flat facets
        edges = np.sort(facets[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
        assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()
        assert exact * (1 - 1e-3) < signed_volume(mesh.vertices, mesh.facets) < exact
        assert loaded.notes == ()

    def test_detailed_file_is_meshed_coarsely_with_a_note(
        self, load: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        coarse = tmp_path / "step_mesher.py"
        text = Path(step_mesher.__file__).read_text()
        coarse.write_text(text.replace("MAX_COARSE_FACETS = 60_000", "MAX_COARSE_FACETS = 1000"))
        monkeypatch.setattr(step_mesher, "__file__", str(coarse))
        loaded = load(writers.step_sphere(0.5), "round.stp")
        exact = 4 / 3 * np.pi * 0.5**3
        assert exact * (1 - 7.5e-3) < signed_volume(loaded.mesh.vertices, loaded.mesh.facets) < exact * (1 - 5e-3)
        assert [note.code for note in loaded.notes] == ["coarse_tessellation"]
