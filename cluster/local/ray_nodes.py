"""Ray nodes as parts of the local stack: private ports, a private temporary folder, token authentication.

Several nodes run on one machine: each is a ``ray start --block`` of its own, so that the end of a node's raylet or GCS
ends its command, and whoever watches the command starts the node anew.
"""

from __future__ import annotations

import secrets
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from cluster.autoscaling import ENVIRONMENT, OneMachine
from cluster.local.parts import Part
from cluster.local.ports import free_ports
from pricing_engine.distributed.address import NODE_SETTINGS

RAY = (sys.executable, "-m", "ray.scripts.scripts")
# Unix sockets below Ray's temporary folder must fit into 107 bytes, of which Ray itself takes some 75.
LONGEST_TEMP = 24
# Bytes of shared memory for each node's objects. Pages count when they are written, so an idle node costs none of it.
OBJECT_STORE_BYTES = 2 * 1024**3
# A node's graceful end takes ten seconds and more, and saves nothing: all it has lies in the temporary folder.
NO_GRACE_S = 0.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a cluster keeps its things: ``temp`` (short, private, gone after the end), ``token`` file, ``logs``."""

    temp: Path
    token: Path
    logs: Path


def make_place(folder: Path) -> Place:
    """A place with a fresh token in ``folder`` and a fresh temporary folder."""
    folder.mkdir(parents=True, exist_ok=True)
    token = folder / "ray-token"
    token.unlink(missing_ok=True)
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    parent = tempfile.gettempdir()
    temp = tempfile.mkdtemp(prefix="fr-", dir=parent if len(parent) <= LONGEST_TEMP else "/tmp")
    return Place(Path(temp), token, folder / "logs")


def client_environment(token: Path) -> dict[str, str | None]:
    """What a process needs in its environment to speak to a cluster of this token; None: must not be set."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token.absolute()),
        "RAY_AUTH_TOKEN": None,
        "RAY_ADDRESS": None,
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def head(place: Place, cpus: float, scaling: OneMachine | None = None) -> Part:
    """The head node with ``cpus`` CPUs for tasks (0: none run there), its dashboard on loopback alone.

    With ``scaling`` it starts and ends further nodes by itself.
    """
    gcs, client, dashboard, agent = free_ports(4)
    node_ip = machine_address()
    address = f"{node_ip}:{gcs}"
    env = _server_environment(place.token)
    autoscaling: tuple[str, ...] = ()
    if scaling:
        autoscaling = (f"--autoscaling-config={scaling.write(place.temp / 'autoscaling.yaml', address)}",)
        env |= ENVIRONMENT
    return Part(
        name="ray-head",
        argv=(
            *RAY,
            "start",
            "--head",
            "--block",
            f"--node-ip-address={node_ip}",
            f"--port={gcs}",
            f"--ray-client-server-port={client}",
            "--dashboard-host=127.0.0.1",
            f"--dashboard-port={dashboard}",
            "--disable-usage-stats",
            *_common(place, "head", cpus, agent),
            *autoscaling,
        ),
        address=address,
        version=version("ray"),
        log=place.logs / "ray-head.log",
        probes=(f"http://127.0.0.1:{dashboard}/api/gcs_healthz", _raylet_probe(agent)),
        env=env,
        grace_s=NO_GRACE_S,
    )


def worker(
    place: Place, head_address: str, name: str, cpus: float, resources: Mapping[str, float] | None = None
) -> Part:
    """A further node of the cluster at ``head_address`` with ``cpus`` CPUs and, if named, custom resources."""
    (agent,) = free_ports(1)
    custom = "{" + ", ".join(f'"{key}": {amount:g}' for key, amount in (resources or {}).items()) + "}"
    return Part(
        name=name,
        argv=(
            *RAY,
            "start",
            "--block",
            f"--address={head_address}",
            f"--node-ip-address={head_address.rsplit(':', 1)[0]}",
            f"--resources={custom}",
            *_common(place, name, cpus, agent),
        ),
        address=f"{head_address.rsplit(':', 1)[0]}:{agent}",
        version=version("ray"),
        log=place.logs / f"{name}.log",
        probes=(_raylet_probe(agent),),
        needs=("ray-head",),
        env=_server_environment(place.token),
        grace_s=NO_GRACE_S,
    )


def dashboard_url(part: Part) -> str:
    """The address of the head part's dashboard."""
    return part.probes[0].removesuffix("/api/gcs_healthz")


def machine_address() -> str:
    """The address other machines would reach this one at; loopback where there is no network.

    Ray replaces loopback by this address for whatever it starts, so parts name it from the beginning.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a datagram socket sends nothing by this: the kernel names the route
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _common(place: Place, name: str, cpus: float, agent_port: int) -> tuple[str, ...]:
    return (
        f"--num-cpus={cpus:g}",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        f"--temp-dir={place.temp / name}",
        f"--dashboard-agent-listen-port={agent_port}",
        "--log-color=false",
    )


def _raylet_probe(agent_port: int) -> str:
    return f"http://127.0.0.1:{agent_port}/api/local_raylet_healthz"


def _server_environment(token: Path) -> dict[str, str | None]:
    return {**client_environment(token), **NODE_SETTINGS, "PYTHONUNBUFFERED": "1"}
