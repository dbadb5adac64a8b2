"""A coverage-guided fuzzer (atheris, libFuzzer) of all readers: ``load_model`` may raise ModelError alone.

``python -m tests.badinput.fuzz_loaders --seconds 20 [--corpus DIR] [--seed N] [-- FILE]``; with FILE it repeats that
one input. Inputs are files, except that XML is wrapped in a 3MF package and JSON in a GLB, so that checksums and
lengths do not stop the fuzzer. The readers' Python is instrumented in place; compiled kernels are not, since
instrumented bytecode does not compile. STEP is skipped: its kernel runs in another process.
"""

from __future__ import annotations

import argparse
import importlib
import os
import struct
import sys
import tempfile
import types
from pathlib import Path

import atheris
import numpy as np

from pricing_engine.mesh.errors import ModelError
from pricing_engine.mesh.load import load_model
from tests.support import model_files as writers
from tests.support import worst_cases

READERS = (
    "load",
    "sniff",
    "ascii_stl",
    "stl",
    "obj",
    "off",
    "ply",
    "ply_body",
    "strips",
    "threemf",
    "threemf_faults",
    "threemf_model",
    "threemf_package",
    "threemf_resources",
    "threemf_solid",
    "threemf_xml",
    "slicer_project",
    "instances",
    "glb",
    "gltf_accessors",
    "gltf_deform",
    "gltf_extensions",
    "gltf_nodes",
    "gltf_scene",
    "polygons",
    "number_scanner",
)
TOKENS = (
    "solid", "facet", "vertex", "endloop", "endsolid", "OFF", "COFF", "ply", "element", "property", "list",
    "end_header", "tristrips", "vertex_indices", "binary_big_endian", "<component", "<object", "<item", "objectid",
    "transform", "requiredextensions", "xmlns:x=", "<volume firstid=", "lastid=", "volume_type", "NegativeVolume",
    "<part subtype=", "negative_part", "modifier", "<plate>", "model_instance", "cura:support_mesh", "printable=",
    "meshresolution=", "<alternative ", "fullres", "lowres", "pid=", "pindex=", "<!DOCTYPE", "<!ENTITY", "&x;", "nan",
    "inf", "-1", "4294967295", "1e999", "bufferView", "byteStride", "byteOffset", "children", "matrix", "POSITION",
    "indices", "mode", "sparse", "normalized", "skin", "joints", "inverseBindMatrices", "JOINTS_0", "WEIGHTS_0",
    "weights", "targets", "EXT_mesh_gpu_instancing", "TRANSLATION", "ROTATION", "SCALE", "KHR_node_visibility",
    "MSFT_lod", "ids", "EXT_meshopt_compression", "fallback", "KHR_draco_mesh_compression", "extensionsUsed",
    "end loop", "end facet", "color", "OFF8", "surf", "curv", "fo ",
)  # fmt: skip


SETTINGS = b"<!--settings-->"
"""Separates the model and the slicers' settings in one input."""


def slicer_seeds() -> list[bytes]:
    """Return slicer projects and extensions by namespace, a few hundred bytes each."""
    v, f = writers.box()
    mesh = writers.mesh_xml(v[:4] + 0.5, f[:1])
    spaces = (
        'unit="millimeter" xmlns:s="http://schemas.microsoft.com/3dmanufacturing/slice/2015/07"'
        ' xmlns:pa="http://schemas.microsoft.com/3dmanufacturing/production/alternatives/2021/04"'
        ' xmlns:cura="http://software.ultimaker.com/xml/cura/3mf/2015/10" xmlns:x="urn:x" requiredextensions="s pa"'
    )
    cura = '<metadatagroup><metadata name="cura:infill_mesh">False</metadata></metadatagroup>'
    full = '<pa:alternatives><pa:alternative objectid="1" UUID="u"/></pa:alternatives>'
    xml = writers.model_xml(
        f'<object id="1" s:slicestackid="9">{cura}{mesh}<x:y/></object>'
        f'<object id="2" pa:modelresolution="lowres">{full}</object>'
        '<object id="3"><components><component objectid="1"/></components></object>',
        '<item objectid="2"/><item objectid="3" printable="1"/>',
        spaces,
    )
    config = (
        '<config><object id="1"><volume firstid="0" lastid="0"><metadata key="volume_type" value="ModelPart"/></volume>'
        '</object><object id="3"><part id="1" subtype="normal_part"/></object><plate><model_instance><metadata '
        'key="object_id" value="3"/></model_instance></plate></config>'
    )
    return [xml.encode(), xml.encode() + SETTINGS + config.encode()]


def seeds() -> list[bytes]:
    """Return a small valid file of each kind."""
    v, f = writers.box()
    v, f = v[:4] + 0.5, f[:1]
    mesh = writers.mesh_xml(v, f)
    item = '<item objectid="2" transform="1 0 0 0 1 0 0 0 1 0 0 0"/>'
    xml = writers.model_xml(
        f'<object id="1">{mesh}</object><object id="2"><components><component objectid="1"/></components></object>',
        item,
    )
    glb = writers.glb(v, f)
    arrays, primitive = writers.glb_mesh(v, f)
    instancing = {"extensions": {"EXT_mesh_gpu_instancing": {"attributes": {"TRANSLATION": 0, "SCALE": 0}}}}
    sparse = {"count": 1, "indices": {"bufferView": 1, "componentType": 5123}, "values": {"bufferView": 0}}
    arrays.append((v.astype("<f4"), "VEC3", {"sparse": sparse}))
    primitive["targets"] = [{"POSITION": 2}]
    deformed = [
        writers.glb_skin(v, f, np.zeros((4, 4)), np.ones((4, 4)), [{"children": [2]}, {}], [np.eye(4)] * 2),
        writers.glb_scene(arrays, {"nodes": [{"mesh": 0, **instancing}],
                                   "meshes": [{"primitives": [primitive], "weights": [0.5]}]}),
    ]  # fmt: skip
    text = writers.stl_ascii(v, f)
    dialects = [
        text.replace(b"endloop", b"end loop").replace(b"outer", b"color 1 0 0\n# x\nouter"), text.replace(b"\n", b" "),
        b"\xef\xbb\xbf" + text.removesuffix(b"endsolid") + b"\0\x1a", writers.stl_binary(v, f) + bytes(range(1, 51)),
        writers.obj(v, [(0, 1, 3, 2, 0, 1)]) + b"surf 0 1\ncurv 0 1\nf 1 2\n", b"OFF4 1 0\n" + writers.off(v, f)[20:],
        writers.ply(v, f, "binary_big_endian").replace(b"end_header\n", b"end_header\r\n"),
    ]  # fmt: skip
    length = struct.unpack_from("<I", glb, 12)[0]
    orders = "ascii", "binary_little_endian", "binary_big_endian"
    return [
        writers.stl_binary(v, f), writers.stl_ascii(v, f), writers.obj(v, [(0, 1, 3, 2)]), writers.off(v, [(0, 1, 3,
        2)]),
        *(writers.ply(v, [(0, 1, 3, 2)], order) for order in orders), *(writers.ply(v, f, order) for order in orders),
        *(writers.ply_strip(v, [0, 1, 2, 3, -1, 0, 1, 3], order) for order in orders),
        writers.threemf(v, f, stored=True), xml.encode(), glb, glb[20 : 20 + length],
        *(worst_cases.repeated_polygon(30, form) for form in ("obj", "off", "ply")),
        worst_cases.zigzag_polygon(12, "obj"), writers.stl_binary(*worst_cases.equal(8)),
        worst_cases.ply(*worst_cases.equal_tetrahedra(8)), *slicer_seeds(),
        *deformed, *(content[20 : 20 + struct.unpack_from("<I", content, 12)[0]] for content in deformed), *dialects,
    ]  # fmt: skip


def wrap(data: bytes) -> bytes:
    """Wrap XML as the model part of a 3MF, with a second document as the slicers' settings, and JSON as a GLB."""
    if data.startswith(b"<?xml"):
        model, mark, settings = data.partition(SETTINGS)
        parts: dict[str, str | bytes] = {"3D/3dmodel.model": model}
        if mark:
            parts |= {"Metadata/Slic3r_PE_model.config": settings, "Metadata/model_settings.config": settings}
        return writers.package(parts, stored=True)
    if data.startswith(b"{"):
        binary = struct.pack("<15f3I", *range(15), 0, 1, 2) + bytes(256)
        chunks = struct.pack("<II", len(data), 0x4E4F534A) + data + struct.pack("<II", len(binary), 0x004E4942) + binary
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
    return data


def load_bytes(data: bytes) -> None:
    """Load ``data`` as a file in memory; raise any error that is not a ModelError."""
    content = wrap(data)
    if b"ISO-10303-21" in content[:4096]:
        return
    descriptor = os.memfd_create("model")
    try:
        os.write(descriptor, content)
        mesh = load_model(f"/proc/self/fd/{descriptor}", None, 1).mesh
        assert mesh.facets.max() < len(mesh.vertices)
    except ModelError as error:
        if "\n" in str(error):
            raise AssertionError(f"more than one line: {error}") from error
    finally:
        os.close(descriptor)


def instrument() -> None:
    """Instrument the Python functions of the readers."""
    for name in READERS:
        module = importlib.import_module(f"pricing_engine.mesh.{name}")
        owners = [module, *(thing for thing in vars(module).values() if isinstance(thing, type))]
        for owner in owners:
            for thing in list(vars(owner).values()):
                if isinstance(thing, types.FunctionType) and thing.__module__ == module.__name__:
                    atheris.instrument_func(thing)


def main() -> None:
    """Fuzz for a bounded time; exits with libFuzzer's code, 0 when nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("file", nargs="*", type=Path)
    arguments = parser.parse_args()
    for file in arguments.file:
        load_bytes(file.read_bytes())
    if arguments.file:
        return
    for seed in seeds():
        load_bytes(seed)  # compile the kernels before the time limit starts
    instrument()
    with tempfile.TemporaryDirectory(prefix="facet-fuzz-") as folder:
        corpus = arguments.corpus or Path(folder, "corpus")
        corpus.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds()):
            Path(corpus, f"seed-{number}").write_bytes(seed)
        dictionary = Path(folder, "tokens")
        dictionary.write_text("".join(f'"{token}"\n' for token in TOKENS))
        crash = Path(tempfile.gettempdir(), "facet-crash-")
        options = [f"-max_total_time={arguments.seconds}", "-timeout=10", "-rss_limit_mb=2048", "-max_len=4096",
                   f"-dict={dictionary}", f"-seed={arguments.seed}", f"-artifact_prefix={crash}"]  # fmt: skip
        atheris.Setup([sys.argv[0], *options, str(corpus)], load_bytes)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
