"""Small disks: filled and freed by a test; MountRefused if this process may not mount."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.disks import BALLAST, MountRefused, SmallDisk, mounted


def may_mount(folder: Path) -> bool:
    probe = folder / "probe"
    probe.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "probe", str(probe)], capture_output=True, check=False).returncode:
        return False
    subprocess.run(["umount", str(probe)], check=True)
    return True


def test_a_small_disk_is_filled_and_freed(tmp_path: Path) -> None:
    if not may_mount(tmp_path):  # an ordinary user, or root of a container: expect the error
        with pytest.raises(MountRefused), mounted({"small": (tmp_path / "small", 1 << 20)}):
            raise AssertionError
        return
    with mounted({"small": (tmp_path / "small", 1 << 20)}) as disks:
        disk = disks["small"]
        (disk.folder / "kept").write_bytes(b"kept")
        disk.fill()
        with pytest.raises(OSError, match="No space left on device"):
            (disk.folder / "more").write_bytes(bytes(8192))
        (disk.folder / "more").unlink()
        disk.free()
        (disk.folder / "more").write_bytes(bytes(8192))
        assert sorted(path.name for path in disk.folder.iterdir()) == ["kept", "more"]
    assert list((tmp_path / "small").iterdir()) == []


def test_if_mounting_is_refused_nothing_stays_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    calls = tmp_path / "calls"
    for name, code in (("mount", f'echo mount >>{calls}; case "$*" in *second*) echo denied >&2; exit 1;; esac'),
                       ("umount", f"echo umount >>{calls}")):  # fmt: skip
        (programs / name).write_text(f"#!/bin/sh\n{code}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    folders = {name: (tmp_path / name, 4096) for name in ("first", "second")}
    with pytest.raises(MountRefused, match="denied"), mounted(folders):
        raise AssertionError
    assert calls.read_text().split() == ["mount", "mount", "umount"]
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MountRefused, match="no command mount"), mounted(folders):
        raise AssertionError


def test_freeing_removes_only_the_ballast(tmp_path: Path) -> None:
    disk = SmallDisk(tmp_path)
    (tmp_path / BALLAST).write_bytes(b"ballast")
    disk.free()
    disk.free()
    assert list(tmp_path.iterdir()) == []
