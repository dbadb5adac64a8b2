"""Run servers that refuse to run as root without root's privileges."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

# In its own user namespace root appears to the server as an ordinary user and still owns its files outside.
_NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")


def prefix(folder: Path) -> tuple[str, ...]:
    """Return the command prefix for a server with its data in ``folder``; empty if this process is not root.

    Where user namespaces are forbidden (in containers), the server and its folder belong to the user ``nobody``.
    """
    if os.geteuid():
        return ()
    if subprocess.run([*_NAMESPACE, "true"], capture_output=True, check=False).returncode == 0:
        return _NAMESPACE
    account = pwd.getpwnam("nobody")
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, account.pw_uid, account.pw_gid)
    return ("setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", "--")
