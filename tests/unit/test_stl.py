"""Binary STL."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from pricing_engine.mesh.errors import BadCoordinates, CorruptModel, EmptyModel, UnreadableFile
from pricing_engine.mesh.stl import is_binary_stl, read_binary_stl
from pricing_engine.mesh.weld import canonical_mesh

RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def stl(corners, header=b"", count=None, tail=b"") -> bytes:
    facets = np.zeros(len(corners), RECORD)
    facets["corners"], facets["normal"], facets["attribute"] = corners, np.nan, 65535
    promised = struct.pack("<I", len(corners) if count is None else count)
    return header.ljust(80, b"\0") + promised + facets.tobytes() + tail


def soup(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(-9, 10, (count, 3, 3)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 2, 1000, 40_000])
def test_file_and_bytes_give_the_mesh_of_their_corners(tmp_path, count):
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
def test_broken_content(tmp_path, content, error):
    path = tmp_path / "broken.stl"
    path.write_bytes(content)
    for source in (path, content):
        with pytest.raises(error) as caught:
            read_binary_stl(source, 1.0, 2)
        assert str(caught.value)
        assert "\n" not in str(caught.value)


def test_missing_file_and_directory(tmp_path):
    for path in (tmp_path / "missing.stl", tmp_path):
        with pytest.raises(UnreadableFile):
            read_binary_stl(path, 1.0, 1)


def test_is_binary():
    text = b"solid ring\nfacet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet"
    assert not is_binary_stl(text, len(text))
    assert not is_binary_stl(b"solid", 5)
    corners = soup(3)
    for content in (stl(corners), stl(corners, b"solid by CAD"), stl(corners, b"solid", tail=b"\0"), stl(corners)[:-9]):
        assert is_binary_stl(content[:512], len(content))
