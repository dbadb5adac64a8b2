"""Binary STL (``mesh/stl.py``): counts, padding and broken content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pricing_engine.mesh.errors import BadCoordinates, CorruptModel, EmptyModel, UnreadableFile
from pricing_engine.mesh.load import load_model
from pricing_engine.mesh.stl import read_binary_stl
from pricing_engine.mesh.weld import canonical_mesh
from tests.support.model_files import stl_records


def stl(corners: NDArray[np.floating], header: bytes = b"", count: int | None = None, tail: bytes = b"") -> bytes:
    """Return a binary STL whose normals and attributes are to be ignored."""
    return stl_records(corners, header, count, normal=np.nan, attribute=65535) + tail


def soup(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(count).integers(-9, 10, (count, 3, 3)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 2, 1000, 40_000])
def test_file_and_bytes_give_the_mesh_of_their_corners(tmp_path: Path, count: int) -> None:
    corners, path = soup(count), tmp_path / "model.stl"
    path.write_bytes(stl(corners, tail=b"trailing"))
    expected = canonical_mesh(corners, 1, 10.0)
    for source in (path, str(path), path.read_bytes()):
        mesh = read_binary_stl(source, 10.0, 2)
        assert np.array_equal(mesh.vertices, expected.vertices)
        assert np.array_equal(mesh.facets, expected.facets)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", CorruptModel),
        (b"x" * 83, CorruptModel),
        (stl(soup(0), count=2**32 - 1, tail=b"x" * 16), CorruptModel),
        (stl(soup(5))[:-1], CorruptModel),
        (stl(soup(5), count=6), CorruptModel),
        (stl(soup(0)), EmptyModel),
        (stl(np.full((1, 3, 3), np.nan)), BadCoordinates),
        (stl(np.full((3, 3, 3), np.inf)), BadCoordinates),
        (stl(np.full((3, 3, 3), 3e38)), BadCoordinates),
    ],
)
def test_broken_content_is_refused_with_one_line(tmp_path: Path, content: bytes, error: type[Exception]) -> None:
    path = tmp_path / "broken.stl"
    path.write_bytes(content)
    for source in (path, content):
        with pytest.raises(error) as caught:
            read_binary_stl(source, 1.0, 2)
        assert str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_unreadable(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.stl", tmp_path):
        with pytest.raises(UnreadableFile):
            read_binary_stl(path, 1.0, 1)


Facets = Callable[[bytes], tuple[int, list[str]]]
"""Returns the number of facets of a file, and the codes of its notes."""


class TestCount:
    """The header's count against the records that the file holds."""

    @pytest.fixture
    def facets(self, tmp_path: Path) -> Facets:
        def load(content: bytes) -> tuple[int, list[str]]:
            path = tmp_path / "model.stl"
            path.write_bytes(content)
            loaded = load_model(path, None, 1)
            return loaded.mesh.facet_count, [note.code for note in loaded.notes]

        return load

    @pytest.mark.parametrize("count", [0, 1, 20, 39, 2**32 - 1])
    @pytest.mark.parametrize("header", [b"", b"solid by CAD"])
    def test_whole_records_are_read_to_the_end(self, facets: Facets, count: int, header: bytes) -> None:
        assert facets(stl(soup(40), header, count)) == (40, ["facet_count"])

    @pytest.mark.parametrize("count", [1, 20, 39])
    def test_records_before_a_rest_that_is_no_record_are_read(self, facets: Facets, count: int) -> None:
        assert facets(stl(soup(40), count=count, tail=b"end")) == (40, ["facet_count"])

    def test_a_count_may_be_wrong_beyond_the_first_block(self, facets: Facets) -> None:
        assert facets(stl(soup(50_000), count=20_000)) == (50_000, ["facet_count"])

    @pytest.mark.parametrize("tail", [b"x", b"\0" * 49, b"\0" * 50, b"\0" * 1234])
    def test_padding_is_left_out(self, facets: Facets, tail: bytes) -> None:
        assert facets(stl(soup(40), tail=tail)) == (40, ["trailing_bytes"])

    @pytest.mark.parametrize("tail", [b"text in lower case, " * 20, b"\xff" * 100, b"\0" * 50 + b"\xff" * 50])
    def test_what_is_no_record_is_left_out_with_a_warning(self, facets: Facets, tail: bytes) -> None:
        assert facets(stl(soup(40), tail=tail)) == (40, ["data_left_out"])

    @pytest.mark.parametrize("content", [stl(soup(40), count=41), stl(soup(40), count=2**32 - 1, tail=b"x"),
                                         stl(soup(40))[:-1], stl(soup(0), count=0, tail=b"\xff" * 100),
                                         stl(soup(0), count=0, tail=b"\0" * 100)])  # fmt: skip
    def test_a_file_shorter_than_its_count_is_refused(self, facets: Facets, content: bytes) -> None:
        with pytest.raises(CorruptModel):
            facets(content)
