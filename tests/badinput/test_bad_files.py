"""Broken files raise a ModelError with one clear line, soon and in bounded memory."""

from __future__ import annotations

import json
import os
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pricing_engine.analysis.measure import Settings, measure
from pricing_engine.mesh.errors import (
    BadCoordinates,
    CorruptModel,
    EmptyModel,
    MissingExtra,
    ModelError,
    UnknownFormat,
    UnreadableFile,
)
from pricing_engine.mesh.load import load_model
from tests.support import model_files as writers
from tests.support import worst_cases

V, F = writers.box()
MODEL = "3D/3dmodel.model"
Rejected = Callable[..., None]


@pytest.fixture
def rejected(tmp_path: Path) -> Rejected:
    def check(
        content: bytes,
        error: type[ModelError] | tuple[type[ModelError], ...],
        words: str | None = None,
        name: str = "model.stl",
    ) -> None:
        path = tmp_path / name
        path.write_bytes(content)
        tracemalloc.start()
        try:
            with pytest.raises(error, match=words) as caught:
                load_model(path, None, 2)
            assert tracemalloc.get_traced_memory()[1] < 400e6
        finally:
            tracemalloc.stop()
        assert "\n" not in str(caught.value)
        assert 20 < len(str(caught.value)) < 300

    return check


class TestFileAccess:
    @pytest.mark.parametrize("make", [lambda p: p.mkdir(), os.mkfifo, lambda p: None, lambda p: p.touch()])
    def test_what_is_no_regular_file_with_content_is_unreadable(
        self, tmp_path: Path, make: Callable[[Path], object]
    ) -> None:
        make(tmp_path / "model.stl")
        with pytest.raises(UnreadableFile):
            load_model(tmp_path / "model.stl", None, 2)

    @pytest.mark.parametrize("name", ["/dev/zero", "/dev/null", "a\0b", "x" * 5000])
    def test_devices_and_impossible_names_are_unreadable(self, name: str) -> None:
        with pytest.raises(UnreadableFile):
            load_model(name, None, 2)

    def test_a_file_without_permission_is_unreadable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "model.stl"
        path.write_bytes(writers.stl_binary(V, F))

        def deny(*_: object) -> int:
            raise PermissionError(13, "Permission denied")  # simulated, since root may read every file

        monkeypatch.setattr(os, "open", deny)
        with pytest.raises(UnreadableFile, match="permission"):
            load_model(path, None, 2)

    @pytest.mark.parametrize(
        "content",
        [b"\x89PNG\r\n\x1a\n" + bytes(500), b"%PDF-1.7\n" + b"x" * 500, b"\x7fELF" + bytes(500), b"just words\n" * 50,
         b"<!DOCTYPE html><html><body>v 1 2 3</body></html>", writers.package({"readme.txt": "x",
         "_rels/.rels": "<a/>"}),
         b'{"asset": {"version": "2.0"}}', b"\xff\xfeo\0f\0f\0", "слова ".encode() * 30, b"x", b"solid"],
    )  # fmt: skip
    def test_other_kinds_of_file_are_rejected(self, rejected: Rejected, content: bytes) -> None:
        rejected(content, (UnknownFormat, CorruptModel))

    def test_noise_is_rejected(self, rejected: Rejected) -> None:
        for seed in range(20):
            noise = np.random.default_rng(seed).bytes(1 + seed**3)
            rejected(noise, ModelError)


class TestStl:
    def test_a_count_beyond_the_file_is_rejected(self, rejected: Rejected) -> None:
        rejected(bytes(80) + struct.pack("<I", 2**32 - 1) + bytes(16), CorruptModel, "4294967295")

    def test_truncated_files_are_rejected(self, rejected: Rejected) -> None:
        valid = writers.stl_binary(V, F)
        for length in (84, 100, len(valid) // 2, len(valid) - 1):
            rejected(valid[:length], ModelError)
        text = writers.stl_ascii(V, F)
        for length in (40, len(text) // 2, len(text) - 30, len(text) - 12):
            rejected(text[:length], CorruptModel, "cut off")

    def test_a_file_without_facets_is_empty(self, rejected: Rejected) -> None:
        rejected(bytes(84), EmptyModel)
        rejected(b"solid x\nendsolid x\n", EmptyModel)

    def test_four_corners_and_odd_words_are_rejected(self, rejected: Rejected) -> None:
        text = writers.stl_ascii(V, F)
        rejected(text.replace(b"endloop", b"vertex 1 1 1\nendloop", 1), CorruptModel, "three corners")
        rejected(text.replace(b"endloop", b"vortex", 1), CorruptModel, "'vortex' does not belong")
        rejected(text.replace(b"vertex 10.0", b"vertex 1,5", 1), CorruptModel, "decimal comma")

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1.1e9, -3e38])
    def test_coordinates_out_of_range_are_rejected(self, rejected: Rejected, bad: float) -> None:
        vertices = V.copy()
        vertices[3, 1] = bad
        for content in (writers.stl_binary(vertices, F), writers.stl_ascii(vertices, F), writers.obj(vertices, F),
                        writers.off(vertices, F), writers.ply(vertices, F), writers.ply(vertices, F,
                        "binary_big_endian"),
                        writers.threemf(vertices, F)):  # fmt: skip
            rejected(content, BadCoordinates)
        with np.errstate(over="ignore"):
            rejected(writers.glb(vertices / 1000, F), BadCoordinates)

    def test_degenerate_facets_alone_are_empty(self, rejected: Rejected) -> None:
        rejected(writers.stl_binary(V, np.array([(0, 0, 1), (2, 2, 2)])), EmptyModel, "zero area")
        rejected(writers.obj(np.array([(0, 0, 0), (1, 1, 1), (2, 2, 2.0)]), [(0, 1, 2)]), EmptyModel, "zero area")


class TestIndices:
    @pytest.mark.parametrize("bad", [8, -9, 10**12, 10**30])
    def test_indices_out_of_range_are_rejected(self, rejected: Rejected, bad: int) -> None:
        faces = [tuple(map(int, f)) for f in F]
        faces[5] = (0, 1, bad)
        rejected(writers.obj(V, faces, base=0 if bad < 0 else 1), CorruptModel)
        rejected(writers.off(V, faces), CorruptModel)
        rejected(writers.ply(V, faces), CorruptModel)
        rejected(writers.threemf(V, faces), CorruptModel)
        if abs(bad) < 2**31:
            rejected(writers.ply(V, faces, "binary_little_endian"), CorruptModel)
            rejected(writers.glb(V, np.array(faces).astype(np.uint32)), CorruptModel)

    def test_index_zero_and_faces_of_two_corners_are_rejected(self, rejected: Rejected) -> None:
        rejected(writers.obj(V, F, base=0), CorruptModel, "does not exist")
        for content in (writers.obj(V, [(0, 1)]), writers.off(V, [(0, 1)]), writers.ply(V, [(0, 1)])):
            rejected(content, EmptyModel, "no facets")
        rejected(b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 x\n", CorruptModel)
        rejected(b"v 0 0 0\nv 1 zero 0\nv 0 1 0\nf 1 2 3\n", CorruptModel, "'zero'")


class TestCounts:
    @pytest.mark.parametrize("count", [9, 4_000_000_000, 10**17, 10**40])
    def test_counts_beyond_the_file_are_rejected(self, rejected: Rejected, count: int) -> None:
        for order in ("ascii", "binary_little_endian", "binary_big_endian"):
            valid = writers.ply(V, F, order)
            rejected(valid.replace(b"element vertex 8", b"element vertex %d" % count), CorruptModel)
            rejected(valid.replace(b"element face 12", b"element face %d" % (count + 4)), CorruptModel)
            rejected(writers.ply_strip(V, [0, 1, 2], order).replace(b"strips 1", b"strips %d" % count), CorruptModel)
        rejected(writers.off(V, F).replace(b"8 12 0", b"%d 12 0" % count), CorruptModel)
        rejected(writers.off(V, F).replace(b"8 12 0", b"8 %d 0" % (count + 4)), CorruptModel)
        accessor = {"bufferView": 0, "componentType": 5126, "count": count, "type": "VEC3"}
        other = {"bufferView": 1, "componentType": 5125, "count": 36, "type": "SCALAR"}
        rejected(writers.glb(V, F, tree={"accessors": [accessor, other]}), CorruptModel)

    def test_truncation_anywhere_is_rejected(self, rejected: Rejected) -> None:
        for valid in (writers.off(V, F), writers.ply(V, F), writers.ply(V, F, "binary_big_endian"),
                      writers.threemf(V, F), writers.glb(V, F)):  # fmt: skip
            for length in range(1, len(valid) - 8, 41):
                rejected(valid[:length], ModelError)

    def test_point_clouds_and_empty_meshes_are_rejected(self, rejected: Rejected) -> None:
        rejected(writers.ply(V, []), EmptyModel)
        rejected(writers.off(V, []), EmptyModel)
        rejected(writers.obj(V, []), EmptyModel)
        rejected(b"ply\nformat ascii 1.0\nelement vertex 0\nend_header\n", CorruptModel)
        rejected(b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n", CorruptModel)


class TestXml:
    def xml(
        self,
        rejected: Rejected,
        xml: str | bytes,
        error: type[ModelError] | tuple[type[ModelError], ...] = CorruptModel,
        words: str | None = None,
    ) -> None:
        rejected(writers.package({MODEL: xml}), error, words)

    def test_expanding_and_external_entities_are_rejected(self, rejected: Rejected) -> None:
        mesh = f'<object id="1">{writers.mesh_xml(V, F)}</object>'
        laughs = '<!ENTITY a "ha">' + "".join(
            f'<!ENTITY {b} "' + f"&{a};" * 10 + '">' for a, b in zip("abcdefghi", "bcdefghij", strict=True)
        )
        for inner in (laughs, '<!ENTITY x SYSTEM "file:///etc/passwd">', ""):
            prolog = f'<?xml version="1.0"?><!DOCTYPE model [{inner}]>'
            self.xml(
                rejected,
                writers.model_xml(mesh + "<m>&j;</m>", '<item objectid="1"/>', prolog=prolog),
                words="entities",
            )
            self.xml(rejected, writers.model_xml(mesh, '<item objectid="1"/>', prolog=prolog), words="entities")
        external = '<?xml version="1.0"?><!DOCTYPE model SYSTEM "http://127.0.0.1:9/x.dtd">'
        self.xml(rejected, writers.model_xml(mesh, '<item objectid="1"/>', prolog=external), words="entities")

    def test_broken_xml_is_rejected(self, rejected: Rejected) -> None:
        for xml in (
            "",
            "<model",
            "<model></other>",
            "\0",
            '<?xml version="1.0" encoding="nope"?><model/>',
            "<model>&x;</model>",
        ):
            self.xml(rejected, xml)

    def test_broken_values_are_rejected(self, rejected: Rejected) -> None:
        good = writers.model_xml(f'<object id="1">{writers.mesh_xml(V, F)}</object>', '<item objectid="1"/>')
        for old, new in (('x="10.0"', 'x="ten"'), ('x="10.0"', ""), ('v1="0"', 'v1="0.5"'), ('v1="0"',
        f'v1="{"9" * 5000}"'),
                         ('unit="millimeter"', 'unit="mile"'), ('objectid="1"', 'objectid="2"'), ('objectid="1"', ""),
                         ('objectid="1"', 'objectid="1" transform="1 2 3"'), ('id="1">', 'id="1"><object id="1">'),
                         ("<item", '<item transform="nan 0 0 0 1 0 0 0 1 0 0 0"'), ('<item objectid="1"/>',
                         "")):  # fmt: skip
            assert old in good
            self.xml(rejected, good.replace(old, new, 1))
        self.xml(
            rejected,
            good.replace("unit=", 'xmlns:b="http://x/beamlattice/2017/02" requiredextensions="b" unit='),
            words="beamlattice",
        )

    def test_cyclic_and_multiplying_components_are_rejected(self, rejected: Rejected) -> None:
        mesh = f'<object id="0">{writers.mesh_xml(V, F)}</object>'
        circle = "".join(
            f'<object id="{i}"><components><component objectid="{j}"/></components></object>'
            for i, j in ((1, 2), (2, 1))
        )
        self.xml(rejected, writers.model_xml(circle, '<item objectid="1"/>'), words="contains itself")
        for levels, inside in ((8, mesh), (60, mesh), (60, '<object id="0"/>')):
            nest = "".join(
                f'<object id="{i + 1}"><components>' + f'<component objectid="{i}"/>' * 10 + "</components></object>"
                for i in range(levels)
            )
            self.xml(
                rejected, writers.model_xml(inside + nest, f'<item objectid="{levels}"/>'), words="export fewer copies"
            )
        chain = "".join(
            f'<object id="{i + 1}"><components><component objectid="{i}"/></components></object>' for i in range(20000)
        )
        self.xml(rejected, writers.model_xml(mesh + chain, '<item objectid="20000"/>'), words="deep")


class TestPackage:
    def test_a_zip_bomb_is_rejected(self, rejected: Rejected) -> None:
        bomb = f'<?xml version="1.0"?><model xmlns="{writers.CORE}">{" " * (80 << 20)}</model>'
        rejected(writers.package({MODEL: bomb}), CorruptModel, "zip bomb")

    @pytest.mark.parametrize("name", ["../evil.txt", "/etc/passwd", "3D/../../x", "..\\x", "C:/x"])
    def test_paths_outside_the_package_are_rejected(self, rejected: Rejected, name: str) -> None:
        rejected(writers.package({MODEL: "<model/>", name: "x"}), CorruptModel, "outside the package")

    def test_targets_outside_and_missing_parts_are_rejected(self, rejected: Rejected) -> None:
        for target in (
            "../../etc/passwd",
            "file:///etc/passwd",
            "http://example.org/x",
            "/3D/none.model",
            "%2e%2e/x",
            "",
        ):
            rejected(writers.package({"_rels/.rels": writers.RELS.replace("/3D/3dmodel.model", target)}), CorruptModel)
        path = '<object id="1"><components><component p:path="../../x" objectid="1"/></components></object>'
        production = 'unit="inch" xmlns:p="http://schemas.microsoft.com/3dmanufacturing/production/2015/06"'
        xml = writers.model_xml(path, '<item objectid="1"/>', production)
        rejected(writers.package({MODEL: xml}), CorruptModel, "outside the package")

    def test_broken_zips_are_rejected(self, rejected: Rejected) -> None:
        valid = bytearray(writers.threemf(V, F))
        valid[60] ^= 255
        rejected(bytes(valid), ModelError)
        rejected(b"PK\x03\x04" + bytes(200), CorruptModel, "zip")


class TestGlb:
    @pytest.mark.parametrize(
        "document",
        [{"nodes": [{"children": [0], "mesh": 0}]}, {"nodes": [{"mesh": 7}]}, {"nodes": [{"mesh": -1}]}, {"nodes": 5},
         {"nodes": [{"mesh": True}]}, {"meshes": [{}]}, {"scene": 3},
         {"extensionsRequired": ["KHR_draco_mesh_compression"]},
         {"buffers": [{"uri": "file:///etc/passwd", "byteLength": 4}]}, {"nodes": [{"mesh": 0, "matrix": [1, 2]}]},
         {"nodes": [{"mesh": 0, "scale": [1e999, 1, 1]}]}, {"bufferViews": []}, {"scenes": [{"nodes": [0, 0]}]}],
    )  # fmt: skip
    def test_broken_descriptions_are_rejected(self, rejected: Rejected, document: writers.Properties) -> None:
        rejected(writers.glb(V, F, tree=document), CorruptModel)

    @pytest.mark.parametrize(
        "change",
        [{"skins": []}, {"skins": [{}]}, {"skins": [{"joints": []}]}, {"skins": [{"joints": [9]}]},
         {"skins": [{"joints": [1], "inverseBindMatrices": 0}]}, {"skins": [{"joints": [1], "inverseBindMatrices": 9}]},
         {"nodes": [{"mesh": 0, "skin": 0}, {"children": [2]}, {"children": [1]}]},
         {"nodes": [{"mesh": 0, "skin": 0}, {"scale": [1e308, 1e308, 1e308], "children": [2]}, {"scale": [10, 1, 1]}],
          "skins": [{"joints": [2]}]}, {"nodes": [{"mesh": 0, "skin": True}, {}]}],
    )  # fmt: skip
    def test_broken_skins_are_rejected(self, rejected: Rejected, change: writers.Properties) -> None:
        valid = writers.glb_skin(V, F, np.zeros((8, 4)), np.ones((8, 4)), [{}])
        length = struct.unpack_from("<I", valid, 12)[0]
        document = json.loads(valid[20 : 20 + length]) | change
        text = json.dumps(document).encode()
        chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + valid[20 + length :]
        rejected(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks, CorruptModel)

    @pytest.mark.parametrize("attributes", [{"TRANSLATION": 9}, {"TRANSLATION": 1}, {"ROTATION": 0}, {"SCALE": "x"},
                                            {"_ID": 2}, 5])  # fmt: skip
    def test_broken_instances_are_rejected(self, rejected: Rejected, attributes: object) -> None:
        """An unused attribute may state any count of instances."""
        arrays, primitive = writers.glb_mesh(V, F)
        arrays.append((np.zeros((1, 3), "<f4"), "VEC3", {"count": 10**9}))
        node = {"mesh": 0, "extensions": {"EXT_mesh_gpu_instancing": {"attributes": attributes}}}
        rejected(writers.glb_scene(arrays, {"nodes": [node], "meshes": [{"primitives": [primitive]}]}), CorruptModel)

    def test_meshes_placed_very_often_are_rejected(self, rejected: Rejected) -> None:
        """Many nodes, primitives or targets over few bytes: rejected by their counts, before memory is allocated."""
        arrays, primitive = writers.glb_mesh(V, F)
        nodes = [{"mesh": 0}] * 120_001
        scenes = [{"nodes": list(range(len(nodes)))}]
        document = {"nodes": nodes, "scenes": scenes, "meshes": [{"primitives": [primitive]}]}
        rejected(writers.glb_scene(arrays, document), CorruptModel, "export fewer copies")
        many = {"nodes": [{"mesh": 0}], "meshes": [{"primitives": [primitive] * 100_001}]}
        rejected(writers.glb_scene(arrays, many), CorruptModel, "export fewer copies")
        wide = [(np.zeros((20_000, 3), "<f4"), "VEC3"), arrays[1]]
        targets = {**primitive, "targets": [{"POSITION": 0}] * 5000}
        morphs = {"nodes": [{"mesh": 0}], "meshes": [{"primitives": [targets], "weights": [1] * 5000}]}
        rejected(writers.glb_scene(wide, morphs), CorruptModel, "count more")

    def test_deep_json_and_many_copies_are_rejected(self, rejected: Rejected) -> None:
        text = b"[" * 100_000
        chunk = struct.pack("<II", len(text), 0x4E4F534A) + text
        rejected(struct.pack("<4sII", b"glTF", 2, 12 + len(chunk)) + chunk, CorruptModel)
        copies = 3000
        document = {"nodes": [{"mesh": 0}] * copies, "scenes": [{"nodes": list(range(copies))}]}
        rejected(writers.glb(V, np.tile(F, (1000, 1)), tree=document), CorruptModel, "export fewer copies")


class TestStep:
    def test_noise_and_truncated_steps_are_rejected(self, rejected: Rejected) -> None:
        valid = writers.step_box()
        for content in (valid[: len(valid) // 2], b"ISO-10303-21;\n" + bytes(range(1, 256)) * 4):
            rejected(content, (CorruptModel, EmptyModel))

    def test_a_missing_extra_is_named(self, rejected: Rejected, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
        rejected(writers.step_box(), MissingExtra, r"pip install 'facet\[step\]'")


VALID_FILES = {
    "stl": writers.stl_binary(V, F), "stl_ascii": writers.stl_ascii(V, F), "obj": writers.obj(V, writers.quads()),
    "off": writers.off(V, writers.quads()), "ply": writers.ply(V, F), "ply_le": writers.ply(V, F,
    "binary_little_endian"),
    "ply_be": writers.ply(V, writers.quads(), "binary_big_endian"), "ply_strip": writers.ply_strip(V, [0, 1, 2, 3,
    -1, 4, 5, 6]),
    "3mf": writers.threemf(V, F), "3mf_stored": writers.threemf(V, F, stored=True), "glb": writers.glb(V, F),
}  # fmt: skip
MUTATION = st.tuples(st.integers(0, 1 << 16), st.integers(0, 8), st.binary(max_size=8))


@pytest.mark.parametrize("kind", sorted(VALID_FILES))
@given(st.lists(MUTATION, min_size=1, max_size=6))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_mutation_loads_or_is_rejected(tmp_path: Path, kind: str, mutations: list[tuple[int, int, bytes]]) -> None:
    """Replace pieces of a valid file by noise: it loads or raises a ModelError, nothing else."""
    content = bytearray(VALID_FILES[kind])
    for place, length, noise in mutations:
        at = place % (len(content) + 1)
        content[at : at + length] = noise
    path = tmp_path / "model"
    path.write_bytes(content)
    try:
        mesh = load_model(path, None, 1).mesh
    except ModelError:
        pass
    else:
        assert np.isfinite(mesh.vertices).all()
        assert mesh.facets.min() >= 0
        assert mesh.facets.max() < len(mesh.vertices)


def test_collinear_facets_are_rejected(rejected: Rejected) -> None:
    rejected(writers.stl_binary(*worst_cases.collinear(2000)), EmptyModel)


@pytest.mark.parametrize("kind", sorted({*worst_cases.KINDS} - {"collinear"}))
def test_small_file_of_each_worst_case_is_measured(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "model"
    path.write_bytes(writers.stl_binary(*worst_cases.KINDS[kind](40)))
    analysis = measure(path, None, Settings(), 1).analysis
    assert analysis.model.facets >= 20
    assert analysis.geometry.volume_mm3 is None or np.isfinite(analysis.geometry.volume_mm3)


@pytest.mark.parametrize("form", ["obj", "off", "ply"])
@pytest.mark.parametrize("polygon", ["repeated_polygon", "zigzag_polygon", "spiral_polygon"])
def test_polygon_of_thousands_of_corners(tmp_path: Path, polygon: str, form: str) -> None:
    path = tmp_path / "model"
    path.write_bytes(getattr(worst_cases, polygon)(1000, form))
    # a polygon that repeats three corners winds once per repetition
    assert load_model(path, None, 1).mesh.facet_count == (334 if polygon == "repeated_polygon" else 1000)


def test_nested_components_cannot_multiply_without_limit(rejected: Rejected) -> None:
    """Each object has ten components of the one before: 12 * 10**6 facets are rejected before any is placed."""
    objects = f'<object id="1">{writers.mesh_xml(V, F)}</object>'
    for level in range(2, 8):
        ten = f'<component objectid="{level - 1}"/>' * 10
        objects += f'<object id="{level}"><components>{ten}</components></object>'
    package = writers.package({MODEL: writers.model_xml(objects, '<item objectid="7"/>').encode()})
    rejected(package, CorruptModel, "repeats its parts into 12000000 facets")
