"""Ray nodes as parts of the local stack: private ports, a private temporary folder, token authentication.

Several nodes run on one machine: each is a separate ``ray start --block``, which exits with its raylet or GCS, so that
the supervisor of the command restarts the node.
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

from cluster.autoscaling import FAKE_MULTI_NODE_ENV, FakeMultiNode
from cluster.local.parts import Part
from cluster.local.ports import free_ports
from pricing_engine.distributed.address import NODE_SETTINGS

RAY = (sys.executable, "-m", "ray.scripts.scripts")
# Unix socket paths below Ray's temporary folder must fit into 107 bytes, of which Ray uses some 75.
MAX_TEMP_LENGTH = 24
# Bytes of shared memory for each node's objects. Pages are allocated when written, so an idle node uses none.
OBJECT_STORE_BYTES = 2 * 1024**3
# A graceful stop of a node takes ten seconds or more and saves nothing: its data are in the temporary folder.
NO_GRACE_S = 0.0


@dataclass(frozen=True, slots=True)
class ClusterPaths:
    """Paths of a cluster: ``temp`` folder (short, private, removed at the end), ``token`` file, ``logs`` folder."""

    temp: Path
    token: Path
    logs: Path


def make_paths(folder: Path) -> ClusterPaths:
    """Create a new token in ``folder`` and a new temporary folder."""
    folder.mkdir(parents=True, exist_ok=True)
    token = folder / "ray-token"
    token.unlink(missing_ok=True)
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    parent = tempfile.gettempdir()
    temp = tempfile.mkdtemp(prefix="fr-", dir=parent if len(parent) <= MAX_TEMP_LENGTH else "/tmp")
    return ClusterPaths(Path(temp), token, folder / "logs")


def client_environment(token: Path) -> dict[str, str | None]:
    """Return the environment a process needs to connect to a cluster with this token; None: must not be set."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token.absolute()),
        "RAY_AUTH_TOKEN": None,
        "RAY_ADDRESS": None,
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def head(paths: ClusterPaths, cpus: float, scaling: FakeMultiNode | None = None, with_dashboard: bool = True) -> Part:
    """Return the head node with ``cpus`` CPUs for tasks (0: no tasks), its dashboard, if any, on loopback only.

    With ``scaling`` its autoscaler starts and stops further nodes.
    """
    gcs, client, dashboard, agent = free_ports(4)
    node_ip = host_address()
    address = f"{node_ip}:{gcs}"
    env = _server_environment(paths.token)
    autoscaling: tuple[str, ...] = ()
    if scaling:
        autoscaling = (f"--autoscaling-config={scaling.write(paths.temp / 'autoscaling.yaml', address)}",)
        env |= FAKE_MULTI_NODE_ENV
    probes: tuple[str, ...] = (_raylet_probe(agent),)
    if with_dashboard:
        probes = (f"http://127.0.0.1:{dashboard}/api/gcs_healthz", *probes)
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
            f"--include-dashboard={with_dashboard}",
            "--dashboard-host=127.0.0.1",
            f"--dashboard-port={dashboard}",
            "--disable-usage-stats",
            *_common(paths, "head", cpus, agent),
            *autoscaling,
        ),
        address=address,
        version=version("ray"),
        log=paths.logs / "ray-head.log",
        probes=probes,
        env=env,
        grace_s=NO_GRACE_S,
    )


def worker(
    paths: ClusterPaths, head_address: str, name: str, cpus: float, resources: Mapping[str, float] | None = None
) -> Part:
    """Return a worker node of the cluster at ``head_address`` with ``cpus`` CPUs and optional custom resources."""
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
            *_common(paths, name, cpus, agent),
        ),
        address=f"{head_address.rsplit(':', 1)[0]}:{agent}",
        version=version("ray"),
        log=paths.logs / f"{name}.log",
        probes=(_raylet_probe(agent),),
        needs=("ray-head",),
        env=_server_environment(paths.token),
        grace_s=NO_GRACE_S,
    )


def dashboard_url(part: Part) -> str:
    """Return the URL of the head part's dashboard."""
    return part.probes[0].removesuffix("/api/gcs_healthz")


def host_address() -> str:
    """Return the address at which other machines reach this one; loopback if there is no network.

    Ray replaces loopback by this address in all its processes, so parts use it from the start.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a datagram socket sends nothing here: the kernel selects the route
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def _common(paths: ClusterPaths, name: str, cpus: float, agent_port: int) -> tuple[str, ...]:
    return (
        f"--num-cpus={cpus:g}",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        f"--temp-dir={paths.temp / name}",
        f"--dashboard-agent-listen-port={agent_port}",
        "--log-color=false",
    )


def _raylet_probe(agent_port: int) -> str:
    return f"http://127.0.0.1:{agent_port}/api/local_raylet_healthz"


def _server_environment(token: Path) -> dict[str, str | None]:
    return {**client_environment(token), **NODE_SETTINGS, "PYTHONUNBUFFERED": "1"}
