"""STEP (ISO 10303-21, AP203/214/242) through cascadio, a package of the OpenCASCADE kernel.

The kernel is native code on untrusted text, so it runs in its own process with time and memory limits; a crash or hang
becomes an error message. It returns a GLB in metres (it converts units itself), whose float32 coordinates agree bit
for bit along the common edges of faces.

Corners lie on the surface, so convex shapes lose volume: at ``FINE_RADIANS`` between neighbour facets a sphere, the
worst case, loses 0.09 %. Where that mesh would be slow (see :mod:`.step_mesher`) the coarse one is read with a note; it
loses up to 0.75 %.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tempfile
from dataclasses import replace
from itertools import islice
from pathlib import Path

from pricing_engine.mesh import step_mesher
from pricing_engine.mesh.errors import CorruptModel, MissingExtra
from pricing_engine.mesh.glb import read_glb
from pricing_engine.mesh.isolated import run_isolated
from pricing_engine.mesh.raw_mesh import RawMesh, ReaderNote

_CONTEXTS = 8  # assemblies repeat theirs; each look-up scans the file
_NAMES = {"": "m", "MILLI": "mm", "CENTI": "cm", "MICRO": "um"}


def read_step(data: bytes) -> RawMesh:
    """Mesh every solid and surface of the file.

    Raises :class:`MissingExtra` without the ``step`` extra, :class:`CorruptModel` where OpenCASCADE fails.
    """
    if importlib.util.find_spec("cascadio") is None:
        raise MissingExtra("reading STEP requires an extra package; pip install 'facet[step]', or export an STL or 3MF")
    with tempfile.TemporaryDirectory(prefix="facet-step-") as folder:
        source, coarse, fine = (Path(folder, name) for name in ("model.step", "coarse.glb", "fine.glb"))
        source.write_bytes(data)
        try:
            status = run_isolated(step_mesher.__file__, source, coarse, fine, timeout_s=step_mesher.SECONDS)
        except subprocess.TimeoutExpired as error:
            message = f"meshing the STEP file takes over {step_mesher.SECONDS} s; simplify it or export an STL"
            raise CorruptModel(message) from error
        if status != 0 or not coarse.exists():
            raise CorruptModel("OpenCASCADE cannot read the STEP file; export it again, as AP214, or as STL")
        meshed = read_glb((fine if fine.exists() else coarse).read_bytes())
        if not fine.exists():
            message = (
                "the STEP file is too detailed for the fine mesh: round walls may lose up to 0.75 % of their volume"
            )
            meshed = replace(meshed, notes=(*meshed.notes, ReaderNote("coarse_tessellation", message)))
    return replace(meshed, stated_unit=stated_unit(data))


def stated_unit(data: bytes) -> str:
    """Return the length unit of the file's GLOBAL_UNIT_ASSIGNED_CONTEXT (ISO 10303-41); ``mm`` if it is ambiguous.

    For display only: OpenCASCADE converts units itself.
    """
    units: set[str] = set()
    contexts = re.finditer(rb"GLOBAL_UNIT_ASSIGNED_CONTEXT\s*\(\s*\(([#\d\s,]{1,200})\)", data)
    for context in islice(contexts, _CONTEXTS):
        for reference in re.findall(rb"\d+", context.group(1)):
            entity = re.search(rb"(?<![\w#])#" + reference + rb"\s*=([^;]{1,400});", data)
            if entity is None or b"LENGTH_UNIT" not in entity.group(1):
                continue
            conversion = re.search(rb"CONVERSION_BASED_UNIT\s*\(\s*'\s*(\w+)", entity.group(1))
            prefix = re.search(rb"SI_UNIT\s*\(\s*(?:\.(\w+)\.|\$)", entity.group(1))
            if conversion:
                units.add({"INCH": "in", "FOOT": "ft"}.get(conversion.group(1).decode("latin-1").upper(), "mm"))
            elif prefix:
                units.add(_NAMES.get((prefix.group(1) or b"").decode("latin-1"), "mm"))
        if len(units) > 1:
            break
    return units.pop() if len(units) == 1 else "mm"
