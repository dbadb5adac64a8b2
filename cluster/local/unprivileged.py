"""How a server that refuses to run as root is run by root all the same."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

# In a user namespace of its own root looks like an ordinary user to itself and still owns its files outside.
_NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")


def prefix(folder: Path) -> tuple[str, ...]:
    """What comes before the command of a server whose data lie in ``folder``: nothing where this process is not root.

    Where user namespaces are forbidden (containers), it is the user ``nobody``, to whom the folder is given.
    """
    if os.geteuid():
        return ()
    if subprocess.run([*_NAMESPACE, "true"], capture_output=True, check=False).returncode == 0:
        return _NAMESPACE
    nobody = pwd.getpwnam("nobody")
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, nobody.pw_uid, nobody.pw_gid)
    return ("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", "--")
