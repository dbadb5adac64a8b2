"""Which glTF extensions are applied, which do not change the shape, and which name a compression."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pricing_engine.mesh.errors import CorruptModel
from pricing_engine.mesh.raw_mesh import Note

Json = dict[str, Any]

INSTANCING = "EXT_mesh_gpu_instancing"
VISIBILITY = "KHR_node_visibility"
LEVELS = "MSFT_lod"
DRACO = "KHR_draco_mesh_compression"
MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")
_COMPRESSIONS = {DRACO: "Draco", **dict.fromkeys(MESHOPT, "meshopt")}
_APPLIED = {INSTANCING, VISIBILITY, LEVELS, "KHR_mesh_quantization"}
# What they add is no shape, or (the last lines) describes the triangles that are there anyway.
_HARMLESS_PARTS = ("_materials_", "_texture_", "_lights_", "_xmp", "_audio", "_animation", "_metadata")
_HARMLESS = {
    "EXT_instance_features", "EXT_mesh_features", "EXT_property_animation", "GRIFFEL_bim_data", "KHR_environment_map",
    "KHR_implicit_shapes", "KHR_interactivity", "KHR_node_hoverability", "KHR_node_selectability",
    "KHR_physics_rigid_bodies", "KHR_techniques_webgl", "MSFT_packing_normalRoughnessMetallic",
    "MSFT_packing_occlusionRoughnessMetallic", "VRM", "VRMC_springBone", "VRMC_vrm",
    "CESIUM_primitive_outline", "EXT_bmesh_encoding", "EXT_mesh_manifold", "FB_ngon_encoding",
}  # fmt: skip
_HOLDERS = ("scenes", "nodes", "meshes", "skins", "accessors", "bufferViews", "buffers")


def compressed(name: str) -> CorruptModel:
    """The refusal of a mesh that the extension ``name`` compresses."""
    return CorruptModel(f"the GLB's mesh is compressed with {_COMPRESSIONS[name]} ({name}); export it uncompressed")


def check_extensions(tree: Json) -> tuple[Note, ...]:
    """Refuse what the file requires and Facet does not know; report what it uses without requiring it.

    Compressions that are not required may come with the data as they are: see :mod:`.gltf_accessors`.
    """
    for name in map(str, tree.get("extensionsRequired", [])):
        if name in _COMPRESSIONS:
            raise compressed(name)
        if not _is_known(name):
            raise CorruptModel(f"the GLB needs {name[:40]!a}, which Facet does not read; export it without")
    used = {*map(str, tree.get("extensionsUsed", [])), *_found(tree)}
    unknown = sorted(name for name in used if name not in _COMPRESSIONS and not _is_known(name))
    if not unknown:
        return ()
    names = ", ".join(f"{name[:40]!a}" for name in unknown[:3]) + (" and others" if len(unknown) > 3 else "")
    return (Note("unknown_extension", f"the GLB uses {names}, which Facet does not know: the shape may be another"),)


def _is_known(name: str) -> bool:
    return name in _APPLIED or name in _HARMLESS or any(part in name for part in _HARMLESS_PARTS)


def _found(tree: Json) -> Iterator[str]:
    """Names of the extensions of everything that makes the shape, listed in the file's head or not."""
    yield from tree.get("extensions", {})
    for holder in _HOLDERS:
        for thing in tree.get(holder, []):
            yield from thing.get("extensions", {})
            for primitive in thing.get("primitives", []) if holder == "meshes" else []:
                yield from primitive.get("extensions", {})
