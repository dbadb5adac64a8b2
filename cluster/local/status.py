"""What ``facet status`` tells: every part is asked now, so a hung server shows as unhealthy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from cluster.local.probes import PROBE_TIMEOUT_S, ailment
from cluster.local.sessions import alive
from cluster.local.state import Folder, PartState, State

NOTHING: dict[str, Any] = {
    "healthy": False, "url": None, "kafka_bootstrap": None, "ray_dashboard": None, "settings": {}, "parts": []
}  # fmt: skip


def report(folder: Folder, state: State | None) -> dict[str, Any]:
    """The tree of ``facet status --json``."""
    if state is None:
        return NOTHING
    supervisor = {
        "name": "supervisor", "pid": state.supervisor.pid, "address": None, "healthy": alive(state.supervisor),
        "version": None, "log": str(folder.logs / "supervisor.log"), "restarts": 0,
    }  # fmt: skip
    with ThreadPoolExecutor() as pool:
        parts = [supervisor, *pool.map(_part, state.parts)]
        if state.url:
            parts += pool.map(lambda service: _service(state, *service), _services())
    tree: dict[str, Any] = {
        "healthy": all(part["healthy"] for part in parts),
        "url": state.url,
        "kafka_bootstrap": state.kafka_bootstrap,
        "ray_dashboard": state.ray_dashboard,
        "settings": state.settings,
        "parts": parts,
    }
    if state.url:
        from cluster.local.demo_accounts import credentials

        tree["demo"] = credentials(folder.data).to_json()
    return tree


def _part(part: PartState) -> dict[str, Any]:
    well = part.session is not None and alive(part.session) and ailment(part.probes) is None
    return {
        "name": part.name, "pid": part.session.pid if part.session else None, "address": part.address, "healthy": well,
        "version": part.version, "log": part.log, "restarts": part.restarts,
    }  # fmt: skip


def _services() -> list[tuple[str, str]]:
    from serve_app.services import PREFIXES

    return list(PREFIXES.items())


def _service(state: State, name: str, prefix: str) -> dict[str, Any]:
    """A Serve application: its process is the replica that answers."""
    address = f"{state.url}{prefix}"
    try:
        answer = httpx.get(f"{address}/healthz", timeout=PROBE_TIMEOUT_S).raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        answer = {"pid": None, "version": None}
    return {
        "name": name, "pid": answer["pid"], "address": address, "healthy": answer["pid"] is not None,
        "version": answer["version"], "log": f"{state.temp}/head/session_latest/logs/serve", "restarts": 0,
    }  # fmt: skip
