"""Text formats (``mesh/ascii_stl.py``, ``obj.py``, ``off.py``, ``ply.py``) as programs write them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pricing_engine.mesh.errors import CorruptModel, EmptyModel, ModelError, UnknownFormat
from pricing_engine.mesh.load import LoadedModel, load_model
from tests.support import model_files as writers

V, F = writers.box()
STL = writers.stl_ascii(V, F).replace(b"solid vertex facet", b"solid part")
OBJ, OFF, PLY = writers.obj(V, F), writers.off(V, F), writers.ply(V, F)
BINARY_PLY = writers.ply(V, F, "binary_little_endian")
STEP = writers.step_box()
Load = Callable[..., LoadedModel]
BOM = b"\xef\xbb\xbf"


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load_bytes(content: bytes, name: str = "model.bin") -> LoadedModel:
        path = tmp_path / name
        path.write_bytes(content)
        return load_model(path, None, 1)

    return load_bytes


def is_the_box(loaded: LoadedModel) -> bool:
    a, b, c = (loaded.mesh.vertices[loaded.mesh.facets[:, i]] for i in range(3))
    volume = float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)
    return loaded.mesh.facet_count == 12 and volume == pytest.approx(6000)


def codes(loaded: LoadedModel) -> list[str]:
    return [note.code for note in loaded.notes if note.code != "suffix_disagrees"]


TEXTS = pytest.mark.parametrize(
    "content", [STL, OBJ, OBJ[OBJ.index(b"v ") :], OFF, PLY], ids=["stl", "obj", "obj_v", "off", "ply"]
)


class TestBytesAroundTheText:
    @pytest.mark.parametrize("content", [STL, OBJ, OBJ[OBJ.index(b"v ") :], OFF, PLY, BINARY_PLY])
    def test_a_byte_order_mark_is_ignored(self, load: Load, content: bytes) -> None:
        loaded = load(BOM + content)
        assert is_the_box(loaded)
        assert codes(loaded) == []

    @TEXTS
    @pytest.mark.parametrize("padding", [b"\0", b"\x1a", b"\r\n\x1a\r\n", b"\0" * 200_000, b"\n\0\0\x1a\0"])
    def test_padding_at_the_end(self, load: Load, content: bytes, padding: bytes) -> None:
        loaded = load(content + padding)
        assert is_the_box(loaded)
        assert codes(loaded) == []

    @TEXTS
    @pytest.mark.parametrize("ending", [b"\r\n", b"\r"])
    def test_other_line_ends_are_read(self, load: Load, content: bytes, ending: bytes) -> None:
        assert is_the_box(load(content.replace(b"\n", ending)))

    @TEXTS
    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
    def test_utf_16_is_refused_by_name(self, load: Load, content: bytes, encoding: str) -> None:
        with pytest.raises(UnknownFormat, match="UTF-16"):
            load(content.decode().encode(encoding))


def test_step_between_a_byte_order_mark_and_padding(load: Load) -> None:
    assert is_the_box(load(BOM + STEP + b"\0\0\x1a"))


class TestAsciiStl:
    @pytest.mark.parametrize(("content", "noted"), [
        (STL.replace(b"endloop", b"end loop").replace(b"endfacet", b"end facet"), []),
        (STL.replace(b"endsolid", b"end solid"), []),
        (STL.replace(b"endloop", b"End\n  Loop"), []),
        (b"solid\n" + STL, []), (STL.replace(b"endsolid", b"solid again\nendsolid again"), []),
        (STL.replace(b"endfacet", b"endfacet\nsolid two", 1), []),
        (STL.replace(b"solid part", b"solid part\ncolor 0.5 0.5 0.5", 1), []),
        (STL.replace(b"outer loop", b"color 1 0 0 0.5\nouter loop"), []),
        (STL.replace(b"endloop", b"endloop\n  Colour 255 0 0"), []),
        (b"# by hand\n// facet normal 0 0 0\n" + STL.replace(b"endfacet", b"endfacet # one\n; two\n // three"), []),
        (STL.replace(b"endfacet\n", b"endfacet\n# facet normal 0 0 1\n", 1), []),
        (STL.removesuffix(b"endsolid"), ["missing_endsolid"]), (STL.removesuffix(b"\nendsolid"), ["missing_endsolid"]),
        (STL.replace(b"\n", b" "), []), (STL.replace(b"\n", b"\t"), []), (STL.replace(b"\n", b" ") + b"\n", []),
        (STL.replace(b"\n", b" ").replace(b"endsolid", b"endsolid part"), []),
        (STL.replace(b"solid part\n", b"solid part # by hand "), []),
        (STL.replace(b"\n", b" ").replace(b"endfacet", b"endfacet # by hand", 1), []),
        (STL.replace(b"facet normal 0 0 0", b"facet"), []), (STL.replace(b"normal 0 0 0", b"normal nan -1.#IND"), []),
        (STL.replace(b"solid part", b"solid endsolid of facet normal part"), []),
        (STL.replace(b"solid part", "solid кольцо".encode()), []), (STL.replace(b"solid part", b"solid \xff\x85"), []),
        (STL.upper(), []), (STL.replace(b"solid part", b"solid"), []),
    ])  # fmt: skip
    def test_dialects_are_read(self, load: Load, content: bytes, noted: list[str]) -> None:
        loaded = load(content, "part.stl")
        assert is_the_box(loaded)
        assert codes(loaded) == noted

    def test_several_solids_with_and_without_ends(self, load: Load) -> None:
        moved = writers.stl_ascii(V + 100, F).replace(b"vertex facet", b"two")
        for first in (STL, STL.removesuffix(b"endsolid"), STL.replace(b"\n", b" ") + b" "):
            for second in (moved, moved.replace(b"\n", b" ")):
                assert load(first + b"\n" + second).mesh.facet_count == 24
        one_line = (STL + b" part " + moved).replace(b"\n", b" ")
        assert load(one_line).mesh.facet_count == 24

    @pytest.mark.parametrize("content", [
        STL.replace(b"vertex 10.0", b"vertex 10,0"), STL.replace(b"endloop", b"vertex 1 2 3\nendloop", 1),
        STL.replace(b"endloop\n", b"", 1), STL.replace(b"outer loop\n", b"", 1), STL.replace(b"endloop", b"loop", 1),
        STL.replace(b"endfacet", b"garbage", 1), STL.replace(b"vertex 10.0 20.0", b"vertex 10.0", 1),
        STL + b"\x1a garbage", STL.replace(b"endfacet", b"\0", 1)])  # fmt: skip
    def test_what_is_in_doubt_is_refused(self, load: Load, content: bytes) -> None:
        with pytest.raises(CorruptModel):
            load(content)

    def test_cut_anywhere_is_refused_or_noted(self, load: Load) -> None:
        for length in range(len(STL) - 400, len(STL) - 9):
            try:
                loaded = load(STL[:length])
            except ModelError:
                continue
            assert codes(loaded) == ["missing_endsolid"]
            assert STL[:length].rstrip().endswith(b"endfacet")


class TestObj:
    @pytest.mark.parametrize("content", [
        OBJ.replace(b"f 0 2 3", b"f 0 2 3"), OBJ.replace(b"\nf ", b"\nfo "),
        writers.obj(V, [(*quad, quad[0]) for quad in writers.quads()]),
        writers.obj(V, [(a, a, b, c, c, d) for a, b, c, d in writers.quads()]),
        writers.obj(V, F, base=-8).replace(b"f 0", b"f -8"), OBJ.replace(b"\nf ", b"\nf \\\n  "),
        b"mtllib a.mtl\ncstype bezier\ndeg 3\n" + OBJ, OBJ + b"l 1 2 3\np 4\nvp 0 0\n"])  # fmt: skip
    def test_dialects_are_read(self, load: Load, content: bytes) -> None:
        loaded = load(content, "part.obj")
        assert is_the_box(loaded)
        assert codes(loaded) == []

    @pytest.mark.parametrize(("lines", "noted"), [
        (b"cstype bspline\ndeg 1 1\nsurf 0 1 0 1 1 2 3 4\nparm u 0 0 1 1\nend\n", ["free_form_surfaces"]),
        (b"curv 0 1 1 2 3\nparm u 0 1\nend\n", ["free_form_curves"]), (b"bzp 1 2 3 4\n", ["free_form_surfaces"]),
        (b"nonsense 1 2\n", ["unknown_lines"]), (b"f 1 2\nf 3\nf\n", ["faces_without_area"]),
        (b"f 1 2 1 2\n", ["faces_without_area"])])  # fmt: skip
    def test_what_is_left_out_is_reported(self, load: Load, lines: bytes, noted: list[str]) -> None:
        loaded = load(OBJ + lines, "part.obj")
        assert is_the_box(loaded)
        assert codes(loaded) == noted

    def test_free_form_surfaces_alone_are_no_mesh(self, load: Load) -> None:
        with pytest.raises(EmptyModel, match="free-form"):
            load(OBJ[: OBJ.index(b"\nf ")] + b"\nsurf 0 1 0 1 1 2 3 4\nend\n")


class TestOff:
    @pytest.mark.parametrize("content", [OFF.replace(b"OFF # comment\n", b"OFF"), OFF.replace(b"# comment\n", b""),
                                         OFF.replace(b"OFF # comment\n", b"off\n"), b"# first\r" + OFF,
                                         OFF.replace(b"OFF # comment\n8 12 0", b"OFF8 12")])  # fmt: skip
    def test_headers_of_other_programs_are_read(self, load: Load, content: bytes) -> None:
        assert is_the_box(load(content))

    def test_lines_beyond_the_counts_are_reported(self, load: Load) -> None:
        assert codes(load(OFF.replace(b"8 12 0", b"8 11 0"))) == ["data_left_out"]


class TestPly:
    @pytest.mark.parametrize("order", ["ascii", "binary_little_endian", "binary_big_endian"])
    @pytest.mark.parametrize("ends", [*itertools.product([b"\n", b"\r\n", b"\r"], repeat=2)])
    @pytest.mark.parametrize("first", [0.0, 10.0])
    def test_mixed_line_ends_of_the_header(
        self, load: Load, order: str, ends: tuple[bytes, bytes], first: float
    ) -> None:
        """Also where the body begins with the byte of a line feed, as 0x0A... does in big-endian."""
        vertices = V.copy()
        if order == "binary_big_endian" and first:
            vertices = vertices + np.frombuffer(bytes([10]) + bytes(7), ">f8")[0]  # 1e-262: nothing, but for the byte
        header, body = writers.ply(vertices, F, order).split(b"end_header\n", 1)
        content = header.replace(b"\n", ends[0]) + b"end_header" + ends[1] + body
        assert is_the_box(load(content))

    @pytest.mark.parametrize("order", ["ascii", "binary_little_endian", "binary_big_endian"])
    def test_edges_and_faces_of_two_corners(self, load: Load, order: str) -> None:
        content = writers.ply(V, [*F, (0, 1)], order)
        loaded = load(content)
        assert is_the_box(loaded)
        assert codes(loaded) == ["faces_without_area"]
        edge = b"0 1\n" if order == "ascii" else np.array([0, 1], "<i4" if "little" in order else ">i4").tobytes()
        header, body = writers.ply(V, F, order).split(b"end_header\n", 1)
        header += b"element edge 1\nproperty int vertex1\nproperty int vertex2\nend_header\n"
        loaded = load(header + body + edge)
        assert is_the_box(loaded)
        assert codes(loaded) == []

    @pytest.mark.parametrize("order", ["ascii", "binary_little_endian", "binary_big_endian"])
    def test_rows_beyond_the_counts_are_reported(self, load: Load, order: str) -> None:
        content = writers.ply(V, F, order).replace(b"element face 12", b"element face 11")
        assert codes(load(content)) == ["data_left_out"]

    def test_comment_in_another_language(self, load: Load) -> None:
        """UTF-8 holds bytes that are line ends to those who read it as Latin-1."""
        assert is_the_box(load(PLY.replace(b"comment box", "comment Åse … écrit".encode())))
