"""Packages for the tests of 3MF: objects, items and slicers' settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from pricing_engine.mesh.load import LoadedModel, load_model
from pricing_engine.mesh.raw_mesh import READER_NOTES
from tests.support import model_files as writers
from tests.support.meshes import signed_volume

Load = Callable[[bytes], LoadedModel]
Part = tuple[writers.Vertices, writers.Facets]
MODEL = "3D/3dmodel.model"
PRUSA, BAMBU = "Metadata/Slic3r_PE_model.config", "Metadata/model_settings.config"
P = 'xmlns:p="http://schemas.microsoft.com/3dmanufacturing/production/2015/06"'
SLICE = 'xmlns:s="http://schemas.microsoft.com/3dmanufacturing/slice/2015/07"'
PA = 'xmlns:pa="http://schemas.microsoft.com/3dmanufacturing/production/alternatives/2021/04"'
CURA = 'xmlns:cura="http://software.ultimaker.com/xml/cura/3mf/2015/10"'
BEAMS = 'xmlns:b="http://schemas.microsoft.com/3dmanufacturing/beamlattice/2017/02"'
MM = 'unit="millimeter"'


def box(size: ArrayLike, at: ArrayLike = (0, 0, 0)) -> Part:
    """Return a box with its lowest corner ``at``."""
    vertices, facets = writers.box(np.broadcast_to(np.array(size, float), 3))
    return vertices + np.array(at, float), facets


def joined(*solids: Part) -> Part:
    """Join meshes into one without sharing vertices."""
    starts = np.cumsum([0, *(len(v) for v, _ in solids)])
    return np.concatenate([v for v, _ in solids]), np.concatenate(
        [f + s for (_, f), s in zip(solids, starts, strict=False)]
    )


def inside_out(solid: Part) -> Part:
    """Return the solid inside out."""
    return solid[0], solid[1][:, ::-1]


def objects(*solids: Part, kind: str = "model") -> str:
    return "".join(
        f'<object id="{i}" type="{kind}">{writers.mesh_xml(*s)}</object>' for i, s in enumerate(solids, start=1)
    )


def item(*numbers: int, more: str = "") -> str:
    return "".join(f'<item objectid="{n}"{more}/>' for n in numbers)


def model(resources: str, build: str, attributes: str = MM, **parts: str | bytes) -> bytes:
    named = {name.replace("__", "/"): content for name, content in parts.items()}
    return writers.package({MODEL: writers.model_xml(resources, build, attributes), **named})


def prusa(solids: Sequence[Part], roles: Sequence[str], key: str = "volume_type", copies: str = "") -> bytes:
    """Return one object whose volumes are ``solids``, with PrusaSlicer's settings."""
    volumes, first = "", 0
    for (_, facets), role in zip(solids, roles, strict=True):
        last = first + len(facets) - 1
        volumes += (
            f'<volume firstid="{first}" lastid="{last}"><metadata type="volume" key="{key}" value="{role}"/></volume>'
        )
        first = last + 1
    config = f'<?xml version="1.0"?><config><object id="1" instances_count="1">{volumes}</object></config>'
    resources = objects(joined(*solids)) + copies
    xml = writers.model_xml(resources, item(*((1, 2) if copies else (1,))))
    return writers.package({MODEL: xml, PRUSA: config})


def bambu(solids: Sequence[Part], subtypes: Sequence[str], transform: str = "", plates: str = "") -> bytes:
    """Return one object with components in another model part, with Bambu's settings."""
    child = writers.model_xml(
        "".join(
            f'<object id="{i}" type="{"model" if s == "normal_part" else "other"}">{writers.mesh_xml(*solid)}</object>'
            for i, (solid, s) in enumerate(zip(solids, subtypes, strict=True), start=1)
        ),
        "",
    )
    components = "".join(f'<component p:path="/3D/Objects/a.model" objectid="{i}"/>' for i in range(1, len(solids) + 1))
    root = writers.model_xml(
        f'<object id="9"><components>{components}</components></object>',
        f'<item objectid="9"{transform}/>',
        f'{MM} {P} requiredextensions="p"',
    )
    parts = "".join(f'<part id="{i}" subtype="{s}"/>' for i, s in enumerate(subtypes, start=1))
    config = f'<?xml version="1.0"?><config><object id="9">{parts}</object>{plates}</config>'
    return writers.package({MODEL: root, "3D/Objects/a.model": child, BAMBU: config})


def volume(loaded: LoadedModel) -> float:
    return signed_volume(loaded.mesh.vertices, loaded.mesh.facets)


def codes(loaded: LoadedModel) -> list[str]:
    return [note.code for note in loaded.notes]


BIG, SMALL = box(10), box(4, (3, 3, 3))


def loader(folder: Path) -> Load:
    """Return a function that loads a package and checks the codes of its notes."""

    def load_bytes(content: bytes) -> LoadedModel:
        path = folder / "a.3mf"
        path.write_bytes(content)
        loaded = load_model(path, None, 2)
        assert set(codes(loaded)) <= READER_NOTES
        return loaded

    return load_bytes
