"""OFF (Object File Format, Geomview): counts, vertices, polygons.

Colours, normals and texture coordinates are passed over. Vectorised over the numbers of :mod:`.number_scanner`,
O(bytes).
"""

from __future__ import annotations

import numpy as np

from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.number_scanner import read_numbers, whole_numbers
from pricing_engine.mesh.polygons import triangulate
from pricing_engine.mesh.raw_mesh import Note, Parsed, check_indices
from pricing_engine.mesh.sniff import OFF_HEADER


def read_off(data: bytes) -> Parsed:
    """Read an ASCII OFF: each vertex and each face on a line of its own, comments anywhere."""
    header = OFF_HEADER.match(data)
    if header is None:
        raise CorruptModel("the OFF header is missing; export the model again")
    if header.group(2):
        raise CorruptModel("the OFF file has points of four or n coordinates; export it in three dimensions")
    if data[header.end() : header.end() + 16].split()[:1] == [b"BINARY"]:
        raise CorruptModel("binary OFF is not read; export it as ASCII OFF, STL or PLY")
    values, lines = read_numbers(data, header.end())
    if len(lines) < 2 or lines[1] - lines[0] < 2:
        raise CorruptModel("the OFF file ends before its counts; export it again")
    vertex_count, face_count = (int(n) for n in whole_numbers(values[:2], "the counts of an OFF file"))
    widths = np.diff(lines)
    if min(vertex_count, face_count) < 0 or vertex_count + face_count > len(widths) - 1:
        raise CorruptModel(
            f"the OFF header counts {vertex_count} vertices and {face_count} faces, but {len(widths) - 1} lines "
            "follow; the file is cut off or its header is wrong: export it again"
        )
    vertex_rows = lines[1 : 1 + vertex_count]
    if vertex_count and int(widths[1 : 1 + vertex_count].min()) < 3:
        raise CorruptModel("an OFF vertex has fewer than three coordinates; export the model again")
    face_rows = lines[1 + vertex_count : 1 + vertex_count + face_count]
    sizes = whole_numbers(values[face_rows], "the corner counts of OFF faces")
    if face_count and bool(np.any((sizes < 0) | (sizes >= widths[1 + vertex_count : 1 + vertex_count + face_count]))):
        raise CorruptModel("an OFF face lists fewer corners than it counts; export the model again")
    starts = np.concatenate(([0], np.cumsum(sizes)))
    shift = np.repeat(face_rows + 1 - starts[:-1], sizes)
    corners = whole_numbers(values[np.arange(starts[-1]) + shift], "the corners of OFF faces")
    check_indices(corners, vertex_count, "face")
    vertices = np.stack([values[vertex_rows + axis] for axis in range(3)], axis=1)
    facets, notes = triangulate(vertices, starts, corners)
    left = len(widths) - 1 - vertex_count - face_count
    if left:
        text = f"{left} lines follow the faces that the header counts and were left out"
        notes += (Note("data_left_out", text),)
    return Parsed(vertices, facets, None, notes)
