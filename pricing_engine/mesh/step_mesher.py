"""Child process of :mod:`.step`: ``step_mesher.py SOURCE COARSE FINE`` writes two GLBs under resource limits.

It meshes to the coarse tolerance first and, where that has few enough facets, to the fine one: the time of
OpenCASCADE's mesher grows faster than its facets. The facet count decides, not the clock, so results repeat.
"""

from __future__ import annotations

import json
import resource
import struct
import sys
from pathlib import Path

TOLERANCE_MM = 0.01
COARSE_RADIANS, FINE_RADIANS = 0.2, 0.07
MAX_COARSE_FACETS = 60_000
SECONDS = 120
_MEMORY_BYTES = 4 << 30


def _facets(glb: Path) -> int:
    """Count the facets that a GLB stores, each mesh once."""
    with glb.open("rb") as file:
        length = struct.unpack("<I", file.read(20)[12:16])[0]
        document = json.loads(file.read(length))
    parts = [primitive for mesh in document.get("meshes", []) for primitive in mesh["primitives"]]
    return sum(document["accessors"][part["indices"]]["count"] // 3 for part in parts)


def main() -> None:
    """Mesh one file to the paths on the command line."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    import cascadio

    source, coarse, fine = sys.argv[1:]
    for target, angle in ((coarse, COARSE_RADIANS), (fine, FINE_RADIANS)):
        cascadio.step_to_glb(source, target, tol_linear=TOLERANCE_MM, tol_angular=angle, use_parallel=False)
        if _facets(Path(target)) > MAX_COARSE_FACETS:
            break


if __name__ == "__main__":
    main()
