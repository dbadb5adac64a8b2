"""Serve with all services as a part of the local stack, and the replicas' settings."""

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
from cluster.local.ray_nodes import ClusterPaths, client_environment, dashboard_url
from data.version import PRODUCT_VERSION
from serve_app.services import PREFIXES

CONFIG = Path(__file__).parents[1] / "manifests" / "serve.yaml"
READY_TIMEOUT_S = 240.0
_PASSWORD = re.compile(r"(://[^:/@]*:)[^@/]*@")


def url(port: int) -> str:
    """Return the base URL of all services."""
    return f"http://127.0.0.1:{port}"


def environment(
    folder: Path, port: int, servers: Mapping[str, str], user_settings: Mapping[str, str]
) -> dict[str, str]:
    """Return the FACET_* settings of the services; ``user_settings`` override the URLs in ``servers``."""
    return {
        "FACET_API_URL": url(port),
        "FACET_SIGNING_KEY": demo_accounts.signing_key(folder),
        "FACET_CURSOR_SECRET": demo_accounts.passwords(folder).get_or_create("cursor"),
        "FACET_MODEL_STORE_URL": (folder / "models").absolute().as_uri(),
        "FACET_WEBHOOK_PRIVATE_ADDRESSES": "true",  # the local stack has no other network
        **servers,
        **user_settings,
    }


def masked(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the FACET_* settings with passwords, keys and secrets masked."""
    visible = {}
    for name, value in sorted(settings.items()):
        if name.startswith("FACET_"):
            hidden = name.endswith(("_KEY", "_SECRET"))
            visible[name] = "***" if hidden else _PASSWORD.sub(r"\1***@", value)
    return visible


def serve_environment(temp: Path) -> dict[str, str]:
    """Return Serve's settings for Ray's nodes, as benchmarked, with private files and ports of HAProxy."""
    haproxy = temp / "haproxy"
    metrics, stats = free_ports(2)
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        # "Throughput optimized" buffers a thousand lines of a replica's log in memory, which a kill would lose.
        "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(haproxy / "metrics.sock"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(stats),
        # By default the controller of an idle stack uses a fifth of a core.
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.25",
        "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "2000",
        # A replaced replica finishes its requests; the default drains for half a minute.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "5",
    }


def part(
    folder: Path, paths: ClusterPaths, head: Part, port: int, settings: Mapping[str, str], after: tuple[str, ...]
) -> Part:
    """Return the part that serves all services at ``port``; raises PartFailed if the port is in use."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PartFailed(f"port {port} can't be used: {error.strerror}; choose another with --port") from error
    ray_settings = {"RAY_ADDRESS": head.address, DASHBOARD: dashboard_url(head)}
    return Part(
        name="services",
        argv=(sys.executable, "-m", "cluster.local.deploy", str(CONFIG), str(folder), str(port)),
        address=f"127.0.0.1:{port}",
        version=PRODUCT_VERSION,
        log=paths.logs / "services.log",
        probes=tuple(f"{url(port)}{prefix}/healthz" for prefix in ("", *PREFIXES.values())),
        needs=(head.name,),
        after=after,
        env={**client_environment(paths.token), **settings, **ray_settings, "PYTHONUNBUFFERED": "1"},
        ready_timeout_s=READY_TIMEOUT_S,
        grace_s=2.0,
    )
