"""glTF extensions (glTF 2.0, section 3.12): which are applied, which keep the shape, which compress the mesh."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.raw_mesh import ReaderNote

Json = dict[str, Any]

INSTANCING = "EXT_mesh_gpu_instancing"
VISIBILITY = "KHR_node_visibility"
LEVEL_OF_DETAIL = "MSFT_lod"
DRACO = "KHR_draco_mesh_compression"
MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")
_COMPRESSIONS = {DRACO: "Draco", **dict.fromkeys(MESHOPT, "meshopt")}
_APPLIED = {INSTANCING, VISIBILITY, LEVEL_OF_DETAIL, "KHR_mesh_quantization"}
# These add no shape or, in the last line, describe triangles that the file stores anyway.
_NEUTRAL_PARTS = ("_materials_", "_texture_", "_lights_", "_xmp", "_audio", "_animation", "_metadata")
_NEUTRAL = {
    "EXT_instance_features", "EXT_mesh_features", "EXT_property_animation", "GRIFFEL_bim_data", "KHR_environment_map",
    "KHR_implicit_shapes", "KHR_interactivity", "KHR_node_hoverability", "KHR_node_selectability",
    "KHR_physics_rigid_bodies", "KHR_techniques_webgl", "MSFT_packing_normalRoughnessMetallic",
    "MSFT_packing_occlusionRoughnessMetallic", "VRM", "VRMC_springBone", "VRMC_vrm",
    "CESIUM_primitive_outline", "EXT_bmesh_encoding", "EXT_mesh_manifold", "FB_ngon_encoding",
}  # fmt: skip
_EXTENSIBLE = ("scenes", "nodes", "meshes", "skins", "accessors", "bufferViews", "buffers")


def compression_error(name: str) -> CorruptModel:
    """Return the error for a mesh that the extension ``name`` compresses."""
    return CorruptModel(f"the GLB's mesh is compressed with {_COMPRESSIONS[name]} ({name}); export it uncompressed")


def check_extensions(document: Json) -> tuple[ReaderNote, ...]:
    """Reject unsupported required extensions; return a note about unsupported optional ones.

    An optional compression may have an uncompressed fallback: see :mod:`.gltf_accessors`.
    """
    for name in map(str, document.get("extensionsRequired", [])):
        if name in _COMPRESSIONS:
            raise compression_error(name)
        if not _is_supported(name):
            raise CorruptModel(
                f"the GLB requires {name[:40]!a}, which Facet does not read; export it without that extension"
            )
    used = {*map(str, document.get("extensionsUsed", [])), *_names_in_use(document)}
    unknown = sorted(name for name in used if name not in _COMPRESSIONS and not _is_supported(name))
    if not unknown:
        return ()
    names = ", ".join(f"{name[:40]!a}" for name in unknown[:3]) + (" and others" if len(unknown) > 3 else "")
    return (ReaderNote("unknown_extension", f"the GLB uses {names}, which Facet does not read: the shape may differ"),)


def _is_supported(name: str) -> bool:
    return name in _APPLIED or name in _NEUTRAL or any(part in name for part in _NEUTRAL_PARTS)


def _names_in_use(document: Json) -> Iterator[str]:
    """Yield extensions of all objects that define the shape, also those that ``extensionsUsed`` omits."""
    yield from document.get("extensions", {})
    for collection in _EXTENSIBLE:
        for item in document.get(collection, []):
            yield from item.get("extensions", {})
            for primitive in item.get("primitives", []) if collection == "meshes" else []:
                yield from primitive.get("extensions", {})
