"""Child process of :mod:`.difference`: ``difference_process.py SOURCE TARGET``, two npz files, under resource limits.

SOURCE: counts ``shells`` and ``parts``, ``adds`` (bool) of each shell, ``shell_vertices_i``, ``shell_facets_i``,
``part_vertices_i``, ``part_facets_i``. TARGET: ``vertices_i``, ``facets_i`` of each part without the shells. Exit code
3: a mesh is not manifold.
"""

from __future__ import annotations

import resource
import sys
from typing import Any

SECONDS = 60
NOT_MANIFOLD = 3
_MEMORY_BYTES = 8 << 30


def _solid(vertices: Any, facets: Any) -> Any:
    import numpy as np
    from manifold3d import Error, Manifold, Mesh64

    solid = Manifold(Mesh64(np.ascontiguousarray(vertices), np.ascontiguousarray(facets, np.uint64)))
    if solid.status() != Error.NoError:
        sys.exit(NOT_MANIFOLD)
    return solid


def main() -> None:
    """Subtract the shells of one file from its parts."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (2 * SECONDS, 2 * SECONDS))
    import numpy as np
    from manifold3d import Manifold

    source = np.load(sys.argv[1])
    negative = Manifold()
    for i in range(int(source["shells"])):
        shell = _solid(source[f"shell_vertices_{i}"], source[f"shell_facets_{i}"])
        negative = negative + shell if source["adds"][i] else negative - shell
    results: dict[str, Any] = {}
    for i in range(int(source["parts"])):
        mesh = (_solid(source[f"part_vertices_{i}"], source[f"part_facets_{i}"]) - negative).to_mesh64()
        results[f"vertices_{i}"] = np.asarray(mesh.vert_properties)[:, :3]
        results[f"facets_{i}"] = np.asarray(mesh.tri_verts)
    np.savez(sys.argv[2], **results)


if __name__ == "__main__":
    main()
