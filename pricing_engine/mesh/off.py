"""OFF (Geomview Object File Format): counts, vertices, polygons; colours, normals and texture are ignored. O(bytes)."""

from __future__ import annotations

import numpy as np

from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.number_scanner import read_numbers, to_integers
from pricing_engine.mesh.polygons import triangulate
from pricing_engine.mesh.raw_mesh import RawMesh, ReaderNote, check_indices
from pricing_engine.mesh.sniff import OFF_HEADER


def read_off(data: bytes) -> RawMesh:
    """Read an ASCII OFF with one vertex or face a line and comments anywhere. Raises :class:`CorruptModel`."""
    header = OFF_HEADER.match(data)
    if header is None:
        raise CorruptModel("the OFF header is missing; export the model again")
    if header.group(2):
        raise CorruptModel("the OFF file is not three-dimensional; export it with three coordinates a vertex")
    if data[header.end() : header.end() + 16].split()[:1] == [b"BINARY"]:
        raise CorruptModel("binary OFF is not read; export it as ASCII OFF, STL or PLY")
    values, lines = read_numbers(data, header.end())
    if len(lines) < 2 or lines[1] - lines[0] < 2:
        raise CorruptModel("the OFF file ends before its counts; export or upload it again")
    vertex_count, face_count = (int(n) for n in to_integers(values[:2], "the counts of an OFF file"))
    line_lengths = np.diff(lines)
    if min(vertex_count, face_count) < 0 or vertex_count + face_count > len(line_lengths) - 1:
        raise CorruptModel(
            f"the OFF header counts {vertex_count} vertices and {face_count} faces, but {len(line_lengths) - 1} lines "
            "follow: it is cut off or its header is wrong; export or upload it again"
        )
    vertex_rows = lines[1 : 1 + vertex_count]
    if vertex_count and int(line_lengths[1 : 1 + vertex_count].min()) < 3:
        raise CorruptModel("an OFF vertex has fewer than three coordinates; export the model again")
    face_rows = lines[1 + vertex_count : 1 + vertex_count + face_count]
    sizes = to_integers(values[face_rows], "the corner counts of OFF faces")
    if face_count and bool(
        np.any((sizes < 0) | (sizes >= line_lengths[1 + vertex_count : 1 + vertex_count + face_count]))
    ):
        raise CorruptModel("an OFF face has fewer corners than it counts; export the model again")
    starts = np.concatenate(([0], np.cumsum(sizes)))
    offset = np.repeat(face_rows + 1 - starts[:-1], sizes)
    corners = to_integers(values[np.arange(starts[-1]) + offset], "the corners of OFF faces")
    check_indices(corners, vertex_count, "face")
    vertices = np.stack([values[vertex_rows + axis] for axis in range(3)], axis=1)
    facets, notes = triangulate(vertices, starts, corners)
    extra_lines = len(line_lengths) - 1 - vertex_count - face_count
    if extra_lines:
        message = f"{extra_lines} lines after the faces that the header counts were skipped"
        notes += (ReaderNote("data_left_out", message),)
    return RawMesh(vertices, facets, None, notes)
