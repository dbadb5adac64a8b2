"""The report of ``facet status``: every part is probed now, so a hung server is reported as unhealthy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from cluster.local.probes import PROBE_TIMEOUT_S, find_failure
from cluster.local.sessions import alive
from cluster.local.state import Folder, PartState, State

NOT_RUNNING: dict[str, Any] = {
    "healthy": False, "url": None, "kafka_bootstrap": None, "ray_dashboard": None, "settings": {}, "parts": []
}  # fmt: skip


def status_report(folder: Folder, state: State | None) -> dict[str, Any]:
    """Return the document of ``facet status --json``."""
    if state is None:
        return NOT_RUNNING
    supervisor = {
        "name": "supervisor", "pid": state.supervisor.pid, "address": None, "healthy": alive(state.supervisor),
        "version": None, "log": str(folder.logs / "supervisor.log"), "restarts": 0,
    }  # fmt: skip
    with ThreadPoolExecutor() as pool:
        parts = [supervisor, *pool.map(_part, state.parts)]
        if state.url:
            parts += pool.map(lambda service: _service(state, *service), _services())
    document: dict[str, Any] = {
        "healthy": all(part["healthy"] for part in parts),
        "url": state.url,
        "kafka_bootstrap": state.kafka_bootstrap,
        "ray_dashboard": state.ray_dashboard,
        "settings": state.settings,
        "parts": parts,
    }
    if state.url:
        from cluster.local.demo_accounts import credentials

        document["demo"] = credentials(folder.data).to_json()
    return document


def _part(part: PartState) -> dict[str, Any]:
    healthy = part.session is not None and alive(part.session) and find_failure(part.probes) is None
    return {
        "name": part.name, "pid": part.session.pid if part.session else None, "address": part.address,
        "healthy": healthy, "version": part.version, "log": part.log, "restarts": part.restarts,
    }  # fmt: skip


def _services() -> list[tuple[str, str]]:
    from serve_app.services import PREFIXES

    return list(PREFIXES.items())


def _service(state: State, name: str, prefix: str) -> dict[str, Any]:
    """Return the status of a Serve application: its process is the replica that answers."""
    address = f"{state.url}{prefix}"
    try:
        response = httpx.get(f"{address}/healthz", timeout=PROBE_TIMEOUT_S).raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        response = {"pid": None, "version": None}
    return {
        "name": name, "pid": response["pid"], "address": address, "healthy": response["pid"] is not None,
        "version": response["version"], "log": f"{state.temp}/head/session_latest/logs/serve", "restarts": 0,
    }  # fmt: skip
