"""XML namespaces of 3MF: which are read or keep the shape, and which change the shape but are not read."""

from __future__ import annotations

CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
LEGACY_CORE = "http://schemas.microsoft.com/3dmanufacturing/2013/01"
"""The core namespace before version 1.0, with the same elements."""

PRODUCTION = "http://schemas.microsoft.com/3dmanufacturing/production/2015/06"
ALTERNATIVES = "http://schemas.microsoft.com/3dmanufacturing/production/alternatives/2021/04"
SLICE = "http://schemas.microsoft.com/3dmanufacturing/slice/2015/07"
BEAMS = "http://schemas.microsoft.com/3dmanufacturing/beamlattice/2017/02"
MATERIAL = "http://schemas.microsoft.com/3dmanufacturing/material/2015/02"
CURA = "http://software.ultimaker.com/xml/cura/3mf/2015/10"

UNDERSTOOD = frozenset(
    {
        CORE,
        LEGACY_CORE,
        PRODUCTION,
        ALTERNATIVES,
        SLICE,  # objects whose mesh is a placeholder for slices are rejected one by one
        CURA,
        MATERIAL,
        "http://schemas.microsoft.com/3dmanufacturing/trianglesets/2021/07",
        "http://schemas.microsoft.com/3dmanufacturing/securecontent/2019/04",  # an encrypted part is rejected
        "http://schemas.microsoft.com/3dmanufacturing/securecontent/2019/07",
        "http://schemas.slic3r.org/3mf/2017/06",
        "http://schemas.bambulab.com/package/2021",
        "http://schemas.openxmlformats.org/markup-compatibility/2006",
        "http://www.w3.org/XML/1998/namespace",
        "http://www.w3.org/2001/XMLSchema-instance",
    }
)
"""Namespaces that Facet reads or that do not affect the shape."""

UNREAD_SHAPE_EXTENSIONS = {
    BEAMS: "beam lattice",
    "http://schemas.microsoft.com/3dmanufacturing/beamlattice/balls/2020/07": "beam lattice balls",
    "http://schemas.3mf.io/3dmanufacturing/volumetric/2022/01": "volumetric",
    "http://schemas.3mf.io/3dmanufacturing/implicit/2023/12": "implicit",
    "http://schemas.3mf.io/3dmanufacturing/booleanoperations/2023/07": "boolean operations",
    "http://schemas.microsoft.com/3dmanufacturing/displacement/2022/07": "displacement",
    "http://schemas.3mf.io/3dmanufacturing/displacement/2023/10": "displacement",
}
"""The consortium's extensions that change the shape and are not read, with their names."""


def describe(namespace: str) -> str:
    """Return an extension's name for a message."""
    title = UNREAD_SHAPE_EXTENSIONS.get(namespace)
    return f"{title} ({namespace})" if title else ascii(namespace[:80])


def namespace_of(name: str) -> str:
    """Return the namespace of an expat name (``"URI local"``), empty where it has none."""
    return name.rpartition(" ")[0]
