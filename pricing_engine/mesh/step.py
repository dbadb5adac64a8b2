"""STEP (ISO 10303-21, AP203/214/242) through cascadio, the OpenCASCADE kernel packed by trimesh's authors.

The kernel is large native code fed with untrusted text, so it runs in a process of its own with a time and a memory
limit; its crash or hang is then a message and not ours. It hands back a GLB in metres (it converts from the file's
unit itself), whose float32 coordinates of neighbouring faces agree bit for bit along common edges.

Corners lie on the surface, so what is round outside loses volume. At ``FINE_RADIANS`` between neighbouring facets a
sphere, the worst of the round shapes, loses 0.09 %; where that would be slow (see :mod:`.step_mesher`) the coarse mesh
is read, up to 0.75 % are lost, and a note says so.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from itertools import islice
from pathlib import Path

from pricing_engine.mesh import step_mesher
from pricing_engine.mesh.errors import CorruptModel, MissingExtra
from pricing_engine.mesh.glb import read_glb
from pricing_engine.mesh.raw_mesh import Note, Parsed

_CONTEXTS = 8  # assemblies repeat theirs; looking each entity up is a scan of the file
_NAMES = {"": "m", "MILLI": "mm", "CENTI": "cm", "MICRO": "um"}


def read_step(data: bytes) -> Parsed:
    """Mesh every solid and surface of the file. Raises :class:`MissingExtra` without the ``step`` extra."""
    if importlib.util.find_spec("cascadio") is None:
        raise MissingExtra("reading STEP needs an extra package; pip install 'facet[step]', or export an STL or 3MF")
    with tempfile.TemporaryDirectory(prefix="facet-step-") as folder:
        source, coarse, fine = (Path(folder, name) for name in ("model.step", "coarse.glb", "fine.glb"))
        source.write_bytes(data)
        try:
            done = subprocess.run(
                [sys.executable, "-I", step_mesher.__file__, str(source), str(coarse), str(fine)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                timeout=step_mesher.SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            text = f"meshing the STEP took over {step_mesher.SECONDS} s; simplify it or export an STL"
            raise CorruptModel(text) from error
        if done.returncode != 0 or not coarse.exists():
            raise CorruptModel("OpenCASCADE can't read the STEP file; export it again, as AP214, or as STL")
        meshed = read_glb((fine if fine.exists() else coarse).read_bytes())
        if not fine.exists():
            text = "the STEP is too detailed for the fine mesh: round walls may have up to 0.75 % too little volume"
            meshed = replace(meshed, notes=(*meshed.notes, Note("coarse_tessellation", text)))
    return replace(meshed, stated_unit=stated_unit(data))


def stated_unit(data: bytes) -> str:
    """The length unit that the file's global context names; ``mm``, to which OpenCASCADE converts, if it is not clear.

    Only told to the user: OpenCASCADE reads the unit for itself.
    """
    found: set[str] = set()
    contexts = re.finditer(rb"GLOBAL_UNIT_ASSIGNED_CONTEXT\s*\(\s*\(([#\d\s,]{1,200})\)", data)
    for context in islice(contexts, _CONTEXTS):
        for number in re.findall(rb"\d+", context.group(1)):
            entity = re.search(rb"(?<![\w#])#" + number + rb"\s*=([^;]{1,400});", data)
            if entity is None or b"LENGTH_UNIT" not in entity.group(1):
                continue
            named = re.search(rb"CONVERSION_BASED_UNIT\s*\(\s*'\s*(\w+)", entity.group(1))
            prefix = re.search(rb"SI_UNIT\s*\(\s*(?:\.(\w+)\.|\$)", entity.group(1))
            if named:
                found.add({"INCH": "in", "FOOT": "ft"}.get(named.group(1).decode("latin-1").upper(), "mm"))
            elif prefix:
                found.add(_NAMES.get((prefix.group(1) or b"").decode("latin-1"), "mm"))
        if len(found) > 1:
            break
    return found.pop() if len(found) == 1 else "mm"
