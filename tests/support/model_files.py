"""Minimal writers of every format, the input of the readers' tests."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vertices = NDArray[np.float64]
Facets = NDArray[np.integer]
Faces = Facets | Sequence[Sequence[int]]
"""Facets, or polygons with any number of corners."""
Properties = dict[str, Any]
"""An object of glTF's JSON."""
GlbArray = tuple[NDArray[np.generic], str] | tuple[NDArray[np.generic], str, Properties]
"""The content of an accessor, its type, and further properties."""

CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
RELS = (
    '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r" Type="http://schemas.microsoft.com/3dmanufacturing/2013/01/3dmodel"'
    ' Target="/3D/3dmodel.model"/>'
    "</Relationships>"
)

CONTENT_TYPES = (
    '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="model" ContentType="application/vnd.ms-package.3dmanufacturing-3dmodel+xml"/></Types>'
)


def box(size: ArrayLike = (10.0, 20.0, 30.0)) -> tuple[Vertices, Facets]:
    """Return eight vertices and twelve facets, counter-clockwise from outside."""
    vertices = np.array([[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)], float) * np.asarray(size)
    return vertices, np.array([t for a, b, c, d in quads() for t in ((a, b, c), (a, c, d))])


def quads() -> list[tuple[int, int, int, int]]:
    """Return the box's six faces as quads."""
    return [(0, 2, 3, 1), (4, 5, 7, 6), (0, 1, 5, 4), (2, 6, 7, 3), (0, 4, 6, 2), (1, 3, 7, 5)]


def stl_records(
    corners: NDArray[np.floating],
    header: bytes = b"",
    count: int | None = None,
    normal: float = 0.0,
    attribute: int = 0,
) -> bytes:
    """Return a binary STL of triangles (n, 3, 3) in float32, whose header states ``count`` of them."""
    rows = np.zeros(len(corners), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
    rows["normal"], rows["corners"], rows["attribute"] = normal, corners, attribute
    stated = struct.pack("<I", len(corners) if count is None else count)
    return header.ljust(80, b"\0")[:80] + stated + rows.tobytes()


def stl_binary(vertices: Vertices, facets: Facets, header: bytes = b"") -> bytes:
    return stl_records(vertices[facets], header)


def stl_ascii(vertices: Vertices, facets: Facets) -> bytes:
    lines = ["solid vertex facet"]
    for facet in facets:
        lines += ["facet normal 0 0 0", "outer loop"]
        lines += ["vertex " + " ".join(repr(float(x)) for x in vertices[v]) for v in facet]
        lines += ["endloop", "endfacet"]
    return "\n".join([*lines, "endsolid"]).encode()


def obj(vertices: Vertices, faces: Faces, base: int = 1) -> bytes:
    lines = ["# a box", "o thing", *("v " + " ".join(repr(float(x)) for x in v) for v in vertices), "g one", "s off"]
    return "\n".join([*lines, *("f " + " ".join(str(i + base) for i in face) for face in faces), ""]).encode()


def off(vertices: Vertices, faces: Faces) -> bytes:
    lines = [
        "OFF # comment",
        f"{len(vertices)} {len(faces)} 0",
        *(" ".join(repr(float(x)) for x in v) for v in vertices),
    ]
    return "\n".join([*lines, *(" ".join(map(str, (len(f), *f))) for f in faces), ""]).encode()


def ply(vertices: Vertices, faces: Faces, order: str = "ascii") -> bytes:
    head = (
        f"ply\nformat {order} 1.0\ncomment box\nelement vertex {len(vertices)}\nproperty double x\nproperty double y\n"
    )
    head += f"property double z\nproperty uchar red\nelement face {len(faces)}\nproperty uchar tag\n"
    head += "property list uchar int vertex_indices\nend_header\n"
    if order == "ascii":
        body = "".join(" ".join(repr(float(x)) for x in v) + " 255\n" for v in vertices)
        body += "".join(" ".join(map(str, (7, len(f), *f))) + "\n" for f in faces)
        return (head + body).encode()
    end = ">" if "big" in order else "<"
    body_bytes = b"".join(struct.pack(end + "dddB", *v, 255) for v in vertices)
    body_bytes += b"".join(struct.pack(f"{end}BB{len(f)}i", 7, len(f), *f) for f in faces)
    return head.encode() + body_bytes


def ply_strip(vertices: Vertices, strip: Sequence[int], order: str = "ascii") -> bytes:
    head = f"ply\nformat {order} 1.0\nelement vertex {len(vertices)}\nproperty float x\nproperty float y\n"
    head += "property float z\nelement tristrips 1\nproperty list int int vertex_indices\nend_header\n"
    if order == "ascii":
        rows = ["{} {} {}".format(*v) for v in vertices]
        return (head + "\n".join([*rows, " ".join(map(str, (len(strip), *strip)))]) + "\n").encode()
    end = ">" if "big" in order else "<"
    body = b"".join(struct.pack(end + "fff", *v) for v in vertices)
    return head.encode() + body + struct.pack(f"{end}{len(strip) + 1}i", len(strip), *strip)


def mesh_xml(vertices: Vertices, facets: Faces) -> str:
    rows = "".join('<vertex x="{!r}" y="{!r}" z="{!r}"/>'.format(*map(float, v)) for v in vertices)
    cuts = "".join('<triangle v1="{}" v2="{}" v3="{}"/>'.format(*f) for f in facets)
    return f"<mesh><vertices>{rows}</vertices><triangles>{cuts}</triangles></mesh>"


def model_xml(
    resources: str, build: str, attributes: str = 'unit="millimeter"', prolog: str = '<?xml version="1.0"?>'
) -> str:
    return (
        f'{prolog}<model {attributes} xmlns="{CORE}"><resources>{resources}</resources><build>{build}</build></model>'
    )


def package(parts: Mapping[str, str | bytes], stored: bool = False) -> bytes:
    """Return a zip of the parts, by name; ``_rels/.rels`` and ``[Content_Types].xml`` are added if they are missing."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as archive:
        for name, content in {"[Content_Types].xml": CONTENT_TYPES, "_rels/.rels": RELS, **parts}.items():
            archive.writestr(name, content)
    return out.getvalue()


def threemf(
    vertices: Vertices,
    facets: Faces,
    item: str = '<item objectid="1"/>',
    attributes: str = 'unit="millimeter"',
    stored: bool = False,
) -> bytes:
    resources = f'<object id="1" type="model">{mesh_xml(vertices, facets)}</object>'
    return package({"3D/3dmodel.model": model_xml(resources, item, attributes)}, stored)


def glb(
    vertices: Vertices, facets: ArrayLike, nodes: Sequence[Properties] | None = None, tree: Properties | None = None
) -> bytes:
    points, corners = np.asarray(vertices, "<f4").tobytes(), np.asarray(facets, "<u4").tobytes()
    description = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": nodes or [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": len(vertices), "type": "VEC3"},
            {"bufferView": 1, "componentType": 5125, "count": int(np.size(facets)), "type": "SCALAR"},
        ],
        "bufferViews": [
            {"buffer": 0, "byteLength": len(points)},
            {"buffer": 0, "byteOffset": len(points), "byteLength": len(corners)},
        ],
        "buffers": [{"byteLength": len(points) + len(corners)}],
        **(tree or {}),
    }  # fmt: skip
    text = json.dumps(description).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    chunks += struct.pack("<II", len(points) + len(corners), 0x004E4942) + points + corners
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def glb_scene(arrays: Iterable[GlbArray], tree: Properties, pad: bytes = b" ") -> bytes:
    """A GLB of ``tree`` (its meshes name accessors by number).

    Accessor k holds ``arrays[k]``, (array, type) or (array, type, more properties).
    """
    kinds = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
    binary, views, accessors = b"", list[Properties](), list[Properties]()
    for array, kind, *more in arrays:
        binary += bytes(-len(binary) % 4)
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": array.nbytes})
        accessors.append({"bufferView": len(views) - 1, "componentType": kinds[array.dtype.str[1:]],
                          "count": array.size if kind == "SCALAR" else len(array), "type": kind,
                          **(more[0] if more else {})})  # fmt: skip
        binary += array.tobytes()
    description = {"asset": {"version": "2.0"}, "scenes": [{"nodes": [0]}], "scene": 0, "bufferViews": views,
                   "accessors": accessors, "buffers": [{"byteLength": len(binary)}], **tree}  # fmt: skip
    text = json.dumps(description).encode()
    text += pad * (-len(text) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(binary), 0x004E4942) + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def glb_mesh(vertices: Vertices, facets: Facets) -> tuple[list[GlbArray], Properties]:
    """Return the two arrays that :func:`glb_scene` takes for a mesh, and the primitive that names them as 0 and 1."""
    arrays: list[GlbArray] = [(np.asarray(vertices, "<f4"), "VEC3"), (np.asarray(facets, "<u2").ravel(), "SCALAR")]
    return arrays, {"attributes": {"POSITION": 0}, "indices": 1}


def glb_skin(
    vertices: Vertices,
    facets: Facets,
    joints: ArrayLike,
    weights: ArrayLike,
    joint_nodes: Sequence[Properties],
    inverse: ArrayLike | None = None,
) -> bytes:
    """Return a skinned mesh in node 0 and its joints in the nodes after it."""
    arrays, primitive = glb_mesh(vertices, facets)
    arrays += [(np.asarray(joints, "u1"), "VEC4"), (np.asarray(weights, "<f4"), "VEC4")]
    skin: Properties = {"joints": list(range(1, 1 + len(joint_nodes)))}
    if inverse is not None:
        arrays.append((np.asarray(inverse, "<f4").reshape(-1, 16), "MAT4"))
        skin["inverseBindMatrices"] = 4
    primitive["attributes"].update({"JOINTS_0": 2, "WEIGHTS_0": 3})
    nodes = [{"mesh": 0, "skin": 0, "translation": [5, 6, 7]}, *joint_nodes]
    return glb_scene(arrays, {"nodes": nodes, "skins": [skin], "meshes": [{"primitives": [primitive]}],
                              "scenes": [{"nodes": list(range(len(nodes)))}]})  # fmt: skip


class _Step:
    """Rows of a STEP file; ``add`` numbers them."""

    def __init__(self) -> None:
        self.rows: list[str] = []

    def add(self, text: str) -> str:
        self.rows.append(f"#{len(self.rows) + 1}={text};")
        return f"#{len(self.rows)}"

    def refs(self, items: Iterable[str]) -> str:
        return "(" + ",".join(items) + ")"

    def point(self, v: Iterable[float]) -> str:
        return self.add("CARTESIAN_POINT('',(" + ",".join(repr(float(x)) for x in v) + "))")

    def direction(self, v: Vertices) -> str:
        return self.add("DIRECTION('',(" + ",".join(repr(float(x)) for x in v / np.linalg.norm(v)) + "))")

    def placement(self, at: str, axis: Vertices, x: Vertices) -> str:
        return self.add(f"AXIS2_PLACEMENT_3D('',{at},{self.direction(axis)},{self.direction(x)})")

    def line(self, at: str, along: Vertices) -> str:
        vector = self.add(f"VECTOR('',{self.direction(along)},1.)")
        return self.add(f"LINE('',{at},{vector})")

    def edge(self, a: str, b: str, curve: str) -> str:
        return self.add(f"EDGE_CURVE('',{a},{b},{curve},.T.)")

    def face(self, edges: Iterable[tuple[str, bool]], surface: str, sense: bool = True) -> str:
        """``edges`` is a list of (edge, whether it runs along); ``sense``: whether the surface's normal is outside."""
        loop = [self.add(f"ORIENTED_EDGE('',*,*,{edge},{'.T.' if along else '.F.'})") for edge, along in edges]
        bound = self.add(f"EDGE_LOOP('',{self.refs(loop)})")
        bound = self.add(f"FACE_OUTER_BOUND('',{bound},.T.)")
        return self.add(f"ADVANCED_FACE('',({bound}),{surface},{'.T.' if sense else '.F.'})")


def step_box(size: ArrayLike = (10.0, 20.0, 30.0), unit: str = "mm") -> bytes:
    """Return a solid box as an AP214 file, in mm, m or inches."""
    step = _Step()
    points = box(size)[0]
    corners = [step.point(p) for p in points]
    vertices = [step.add(f"VERTEX_POINT('',{p})") for p in corners]
    edges: dict[tuple[int, int], str] = {}
    faces = []
    for quad in quads():
        loop = []
        for a, b in zip(quad, (*quad[1:], quad[0]), strict=True):
            key = min(a, b), max(a, b)
            if key not in edges:
                line = step.line(corners[key[0]], points[key[1]] - points[key[0]])
                edges[key] = step.edge(vertices[key[0]], vertices[key[1]], line)
            loop.append((edges[key], (a, b) == key))
        along, across = points[quad[1]] - points[quad[0]], points[quad[3]] - points[quad[0]]
        place = step.placement(corners[quad[0]], np.cross(along, across), along)
        faces.append(step.face(loop, step.add(f"PLANE('',{place})")))
    return _step_file(step, faces, unit)


def step_cylinder(radius: float, height: float, unit: str = "mm") -> bytes:
    """Return a solid cylinder about z as an AP214 file: two circles, a seam, three faces."""
    step = _Step()
    up, east = np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0])
    centres = [step.point((0, 0, z)) for z in (0, height)]
    rims = [step.point((radius, 0, z)) for z in (0, height)]
    vertices = [step.add(f"VERTEX_POINT('',{p})") for p in rims]
    low = step.placement(centres[0], up, east)
    circles = []
    for centre, vertex in zip(centres, vertices, strict=True):
        circle = step.add(f"CIRCLE('',{step.placement(centre, up, east)},{float(radius)!r})")
        circles.append(step.edge(vertex, vertex, circle))
    seam = step.edge(vertices[0], vertices[1], step.line(rims[0], up))
    side = step.add(f"CYLINDRICAL_SURFACE('',{low},{float(radius)!r})")
    bottom = step.add(f"PLANE('',{step.placement(centres[0], -up, east)})")
    top = step.add(f"PLANE('',{step.placement(centres[1], up, east)})")
    faces = [
        step.face([(circles[0], True), (seam, True), (circles[1], False), (seam, False)], side),
        step.face([(circles[0], False)], bottom),
        step.face([(circles[1], True)], top),
    ]
    return _step_file(step, faces, unit)


def step_sphere(radius: float) -> bytes:
    """Return a solid sphere: one face, its seam a half circle from pole to pole."""
    step = _Step()
    up, east = np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0])
    centre = step.point((0, 0, 0))
    poles = [step.add(f"VERTEX_POINT('',{step.point((0, 0, z))})") for z in (-radius, radius)]
    circle = step.add(f"CIRCLE('',{step.placement(centre, np.cross(east, up), east)},{float(radius)!r})")
    seam = step.edge(poles[0], poles[1], circle)
    surface = step.add(f"SPHERICAL_SURFACE('',{step.placement(centre, up, east)},{float(radius)!r})")
    return _step_file(step, [step.face([(seam, True), (seam, False)], surface)], "mm")


def step_torus(major: float, minor: float) -> bytes:
    """Return a solid torus about z: one face, its seams one circle of each kind."""
    step = _Step()
    up, east = np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0])
    centre, middle = step.point((0, 0, 0)), step.point((major, 0, 0))
    vertex = step.add(f"VERTEX_POINT('',{step.point((major + minor, 0, 0))})")
    along = step.add(f"CIRCLE('',{step.placement(centre, up, east)},{float(major + minor)!r})")
    around = step.add(f"CIRCLE('',{step.placement(middle, np.cross(east, up), east)},{float(minor)!r})")
    along, around = step.edge(vertex, vertex, along), step.edge(vertex, vertex, around)
    place = step.placement(centre, up, east)
    surface = step.add(f"TOROIDAL_SURFACE('',{place},{float(major)!r},{float(minor)!r})")
    return _step_file(
        step, [step.face([(along, True), (around, True), (along, False), (around, False)], surface)], "mm"
    )


def step_band(outer: float, inner: float, height: float) -> bytes:
    """Return a ring band about z: two cylindrical walls, two flat rings."""
    step = _Step()
    up, east = np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0])
    centres = [step.point((0, 0, z)) for z in (0, height)]
    faces, circles = [], []
    for radius, outside in ((outer, True), (inner, False)):
        rims = [step.point((radius, 0, z)) for z in (0, height)]
        ends = [step.add(f"VERTEX_POINT('',{rim})") for rim in rims]
        low, high = (
            step.edge(end, end, step.add(f"CIRCLE('',{step.placement(centre, up, east)},{float(radius)!r})"))
            for end, centre in zip(ends, centres, strict=True)
        )
        seam = step.edge(ends[0], ends[1], step.line(rims[0], up))
        wall = step.add(f"CYLINDRICAL_SURFACE('',{step.placement(centres[0], up, east)},{float(radius)!r})")
        loop = [(low, outside), (seam, True), (high, not outside), (seam, False)]
        faces.append(step.face(loop, wall, outside))
        circles.append((low, high))
    for end, (axis, outward) in enumerate(((-up, False), (up, True))):
        bounds = []
        for kind, edge, sense in (("FACE_OUTER_BOUND", circles[0][end], outward),
                                  ("FACE_BOUND", circles[1][end], not outward)):  # fmt: skip
            oriented = step.add(f"ORIENTED_EDGE('',*,*,{edge},{'.T.' if sense else '.F.'})")
            ring = step.add(f"EDGE_LOOP('',({oriented}))")
            bounds.append(step.add(f"{kind}('',{ring},.T.)"))
        plane = step.add(f"PLANE('',{step.placement(centres[end], axis, east)})")
        faces.append(step.add(f"ADVANCED_FACE('',{step.refs(bounds)},{plane},.T.)"))
    return _step_file(step, faces, "mm")


def _step_file(step: _Step, faces: Iterable[str], unit: str) -> bytes:
    add, refs, rows = step.add, step.refs, step.rows
    solid = add(f"MANIFOLD_SOLID_BREP('box',{add('CLOSED_SHELL($,' + refs(faces) + ')')})")
    metre = "(LENGTH_UNIT()NAMED_UNIT(*)SI_UNIT({},.METRE.))"
    length = add(metre.format("$" if unit == "m" else ".MILLI."))
    if unit == "in":
        inch = add(f"LENGTH_MEASURE_WITH_UNIT(LENGTH_MEASURE(25.4),{length})")
        dimension = add("DIMENSIONAL_EXPONENTS(1.,0.,0.,0.,0.,0.,0.)")
        length = add(f"(CONVERSION_BASED_UNIT('INCH',{inch})LENGTH_UNIT()NAMED_UNIT({dimension}))")
    angle = add("(NAMED_UNIT(*)PLANE_ANGLE_UNIT()SI_UNIT($,.RADIAN.))")
    solid_angle = add("(NAMED_UNIT(*)SI_UNIT($,.STERADIAN.)SOLID_ANGLE_UNIT())")
    near = add(f"UNCERTAINTY_MEASURE_WITH_UNIT(LENGTH_MEASURE(1.E-07),{length},'distance','')")
    context = add(
        f"(GEOMETRIC_REPRESENTATION_CONTEXT(3)GLOBAL_UNCERTAINTY_ASSIGNED_CONTEXT(({near}))"
        f"GLOBAL_UNIT_ASSIGNED_CONTEXT(({length},{angle},{solid_angle}))REPRESENTATION_CONTEXT('',''))"
    )
    placement = step.placement(step.point((0, 0, 0)), np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0]))
    shape = add(f"ADVANCED_BREP_SHAPE_REPRESENTATION('',({placement},{solid}),{context})")
    application = add("APPLICATION_CONTEXT('automotive design')")
    add(f"APPLICATION_PROTOCOL_DEFINITION('international standard','automotive_design',2000,{application})")
    product = add(f"PRODUCT('box','box','',({add(f'PRODUCT_CONTEXT($,{application},$)')}))")
    formation = add(f"PRODUCT_DEFINITION_FORMATION('','',{product})")
    design = add(f"PRODUCT_DEFINITION_CONTEXT('part definition',{application},'design')")
    definition = add(f"PRODUCT_DEFINITION('design','',{formation},{design})")
    add(f"SHAPE_DEFINITION_REPRESENTATION({add(f'PRODUCT_DEFINITION_SHAPE($,$,{definition})')},{shape})")
    head = "ISO-10303-21;\nHEADER;\nFILE_DESCRIPTION((''),'2;1');\nFILE_NAME('','',(''),(''),'','','');\n"
    head += "FILE_SCHEMA(('AUTOMOTIVE_DESIGN { 1 0 10303 214 1 1 1 1 }'));\nENDSEC;\nDATA;\n"
    return (head + "\n".join(rows) + "\nENDSEC;\nEND-ISO-10303-21;\n").encode()
