"""Serve with all services as a part of the local stack, and the settings that replicas find in their environment."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from cluster.local import demo_accounts
from cluster.local.deploy import DASHBOARD
from cluster.local.parts import Part, PartFailed
from cluster.local.ports import free_ports
from cluster.local.ray_nodes import Place, client_environment, dashboard_url
from data.version import PRODUCT_VERSION
from serve_app.services import PREFIXES

CONFIG = Path(__file__).parents[1] / "manifests" / "serve.yaml"
READY_WITHIN_S = 240.0
_PASSWORD = re.compile(r"(://[^:/@]*:)[^@/]*@")


def url(port: int) -> str:
    """Where all services answer."""
    return f"http://127.0.0.1:{port}"


def environment(folder: Path, port: int, servers: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """FACET_* settings of the services; ``servers``: where the servers are; ``given`` by the user, which count more."""
    return {
        "FACET_API_URL": url(port),
        "FACET_SIGNING_KEY": demo_accounts.signing_key(folder),
        "FACET_CURSOR_SECRET": demo_accounts.passwords(folder).of("cursor"),
        "FACET_MODEL_STORE_URL": (folder / "models").absolute().as_uri(),
        "FACET_WEBHOOK_PRIVATE_ADDRESSES": "true",  # there is no other network here to send them to
        **servers,
        **given,
    }


def masked(settings: Mapping[str, str]) -> dict[str, str]:
    """The FACET_* settings in force, for people to read: without passwords, keys and secrets."""
    shown = {}
    for name, value in sorted(settings.items()):
        if name.startswith("FACET_"):
            hidden = name.endswith(("_KEY", "_SECRET"))
            shown[name] = "***" if hidden else _PASSWORD.sub(r"\1***@", value)
    return shown


def serve_environment(temp: Path) -> dict[str, str]:
    """Serve's own settings for Ray's nodes: those that were measured, with HAProxy's files and ports private."""
    haproxy = temp / "haproxy"
    metrics, stats = free_ports(2)
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        # "Throughput optimized" keeps a thousand lines of a replica's log in memory, and a kill would take them along.
        "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(haproxy / "metrics.sock"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
        # A replica that is replaced lets requests end; without this it would stay for half a minute.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",
    }


def part(
    folder: Path, place: Place, head: Part, port: int, settings: Mapping[str, str], after: tuple[str, ...]
) -> Part:
    """Everything that is served, at ``port``; raises PartFailed where somebody else has the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PartFailed(f"services can't be served at port {port}: {error.strerror}; use --port") from error
    joining = {"RAY_ADDRESS": head.address, DASHBOARD: dashboard_url(head)}
    return Part(
        name="services",
        argv=(sys.executable, "-m", "cluster.local.deploy", str(CONFIG), str(folder), str(port)),
        address=f"127.0.0.1:{port}",
        version=PRODUCT_VERSION,
        log=place.logs / "services.log",
        probes=tuple(f"{url(port)}{prefix}/healthz" for prefix in ("", *PREFIXES.values())),
        needs=(head.name,),
        after=after,
        env={**client_environment(place.token), **settings, **joining, "PYTHONUNBUFFERED": "1"},
        ready_within_s=READY_WITHIN_S,
        grace_s=2.0,
    )
