"""The XML namespaces of 3MF: which are read, which shape the model without being read, and what each is called."""

from __future__ import annotations

CORE = "http://schemas.microsoft.com/3dmanufacturing/core/2015/02"
BEFORE_CORE = "http://schemas.microsoft.com/3dmanufacturing/2013/01"
"""The core's namespace before version 1.0, with the same elements."""

PRODUCTION = "http://schemas.microsoft.com/3dmanufacturing/production/2015/06"
ALTERNATIVES = "http://schemas.microsoft.com/3dmanufacturing/production/alternatives/2021/04"
SLICE = "http://schemas.microsoft.com/3dmanufacturing/slice/2015/07"
BEAMS = "http://schemas.microsoft.com/3dmanufacturing/beamlattice/2017/02"
MATERIAL = "http://schemas.microsoft.com/3dmanufacturing/material/2015/02"
CURA = "http://software.ultimaker.com/xml/cura/3mf/2015/10"

NEUTRAL = frozenset(
    {
        CORE,
        BEFORE_CORE,
        PRODUCTION,
        ALTERNATIVES,
        SLICE,  # objects whose mesh only stands in for their slices are refused one by one
        CURA,
        MATERIAL,
        "http://schemas.microsoft.com/3dmanufacturing/trianglesets/2021/07",
        "http://schemas.microsoft.com/3dmanufacturing/securecontent/2019/04",  # an encrypted part is refused
        "http://schemas.microsoft.com/3dmanufacturing/securecontent/2019/07",
        "http://schemas.slic3r.org/3mf/2017/06",
        "http://schemas.bambulab.com/package/2021",
        "http://schemas.openxmlformats.org/markup-compatibility/2006",
        "http://www.w3.org/XML/1998/namespace",
        "http://www.w3.org/2001/XMLSchema-instance",
    }
)
"""What is read, or says nothing about the shape."""

SHAPING = {
    BEAMS: "beam lattice",
    "http://schemas.microsoft.com/3dmanufacturing/beamlattice/balls/2020/07": "beam lattice balls",
    "http://schemas.3mf.io/3dmanufacturing/volumetric/2022/01": "volumetric",
    "http://schemas.3mf.io/3dmanufacturing/implicit/2023/12": "implicit",
    "http://schemas.3mf.io/3dmanufacturing/booleanoperations/2023/07": "boolean operations",
    "http://schemas.microsoft.com/3dmanufacturing/displacement/2022/07": "displacement",
    "http://schemas.3mf.io/3dmanufacturing/displacement/2023/10": "displacement",
}
"""The consortium's extensions that add to the shape or take from it, and are not read."""


def describe(namespace: str) -> str:
    """How to call an extension in a message."""
    known = SHAPING.get(namespace)
    return f"{known} ({namespace})" if known else ascii(namespace[:80])


def namespace_of(name: str) -> str:
    """The namespace of a name as expat writes it, empty where it has none."""
    return name.rpartition(" ")[0]
