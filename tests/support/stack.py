"""The complete local stack for a test: started by `facet up`, called over HTTP as users do, stopped afterwards."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from cluster.local import postgres
from cluster.local.demo_accounts import passwords
from cluster.local.ports import free_ports
from tests.support.disks import MountRefused, SmallDisk, mounted
from tests.support.waiting import eventually

UP_WITHIN_S = 400
FACET = (sys.executable, "-m", "pricing_engine")
OTHER_PARTNER = "another partner"
"""A second partner, added by the tests to check isolation between partners."""


@dataclass
class Stack:
    """A running stack; ``http`` is its client, other fields are from `facet status --json` after the start."""

    folder: Path
    url: str
    demo: dict[str, Any]
    kafka: str
    http: httpx.Client
    disks: Mapping[str, SmallDisk] = field(default_factory=dict)
    disks_refused: str | None = None
    _tokens: dict[str, str] = field(default_factory=dict)
    _keys: dict[str, str] = field(default_factory=dict)

    def status(self) -> dict[str, Any]:
        """Return the current output of `facet status --json`."""
        status: dict[str, Any] = json.loads(_facet(self.folder, "status", "--json", check=False))
        return status

    def part(self, name: str) -> dict[str, Any]:
        """Return one part of :meth:`status`."""
        return next(part for part in self.status()["parts"] if part["name"] == name)

    def as_user(self, name: str) -> dict[str, str]:
        """Return headers of a demo account (customer, seller, operator, admin, mes, partner) or of an added partner."""
        if name == "partner":
            return {"X-API-Key": self.demo["partner_api_key"]}
        if name in self._keys:
            return {"X-API-Key": self._keys[name]}
        if name not in self._tokens:
            self._tokens[name] = self._token(name)
        return {"Authorization": f"Bearer {self._tokens[name]}"}

    def database_urls(self) -> dict[str, str]:
        """Return the URL of each service's database."""
        return postgres.urls(self.part("postgresql")["address"], passwords(self.folder / ".facet" / "stack" / "data"))

    def add_partner(self, name: str) -> None:
        """Add a partner by the command line."""
        settings = {"FACET_PARTNERS_DATABASE_URL": self.database_urls()["partners"]}
        self._keys[name] = _facet(self.folder, "accounts", "partner", name, settings=settings).strip()

    def _token(self, name: str) -> str:
        if name == "mes":
            grant = {"grant_type": "client_credentials", **self.demo["mes_service"]}
        else:
            grant = {"grant_type": "password", **self.demo[name]}
        return str(self.http.post("/auth/token", data=grant).raise_for_status().json()["access_token"])

    def get(self, path: str, who: str, **options: Any) -> httpx.Response:
        """Send a GET request as ``who``."""
        return self.http.get(path, headers=self.as_user(who), **options)

    def post(self, path: str, who: str, **options: Any) -> httpx.Response:
        """Send a POST request as ``who``."""
        headers = {**self.as_user(who), **options.pop("headers", {})}
        return self.http.post(path, headers=headers, **options)

    def put(self, path: str, who: str, **options: Any) -> httpx.Response:
        """Send a PUT request as ``who``."""
        headers = {**self.as_user(who), **options.pop("headers", {})}
        return self.http.put(path, headers=headers, **options)

    def order(self, model: bytes, who: str = "customer", **fields: Any) -> str:
        """Submit an order for ``model``; return its id."""
        request = {"process": "casting", "material": "silver-925", **fields}
        order_id = str(self.post("/shop/orders", who, json=request).raise_for_status().json()["order_id"])
        self.put(f"/shop/orders/{order_id}/model", who, files={"model": ("model.stl", model)}).raise_for_status()
        self.post(f"/shop/orders/{order_id}/submit", who).raise_for_status()
        return order_id

    def reaches(self, order_id: str, *statuses: str, who: str = "customer", within_s: float = 60) -> dict[str, Any]:
        """Return the order from the status service once it has one of ``statuses``."""

        def poll() -> dict[str, Any] | None:
            answer = self.get(f"/status/orders/{order_id}", who)
            return answer.json() if answer.is_success and answer.json()["status"] in statuses else None

        return eventually(poll, f"order {order_id} becomes {' or '.join(statuses)}", 0.05, within_s)


@contextmanager
def running(folder: Path, small_disks: Mapping[str, tuple[Path, int]] | None = None) -> Iterator[Stack]:
    """Start the stack with all its data in ``folder`` for the block.

    ``small_disks``: folders of it that become separate file systems, with their size in bytes, for tests that fill
    them; if this process may not mount, the stack has none of them, and ``disks_refused`` is the reason.
    """
    disks: Mapping[str, SmallDisk] = {}
    refused = None
    with ExitStack() as unmounting:
        try:
            disks = unmounting.enter_context(mounted(small_disks or {}))
        except MountRefused as why:
            refused = str(why)
        with _up(folder) as stack:
            stack.disks, stack.disks_refused = disks, refused
            yield stack


@contextmanager
def _up(folder: Path) -> Iterator[Stack]:
    (port,) = free_ports(1)
    try:
        _facet(folder, "up", "--detach", "--no-samples", f"--port={port}")
        status = json.loads(_facet(folder, "status", "--json"))
        with httpx.Client(base_url=status["url"], timeout=60) as http:
            yield Stack(folder, status["url"], status["demo"], status["kafka_bootstrap"], http)
    finally:
        _facet(folder, "down")


def _facet(folder: Path, *arguments: str, check: bool = True, settings: Mapping[str, str] | None = None) -> str:
    others = {name: value for name, value in os.environ.items() if not name.startswith(("FACET_", "RAY_"))}
    done = subprocess.run(
        [*FACET, *arguments],
        cwd=folder,
        env={**others, **(settings or {})},
        capture_output=True,
        text=True,
        timeout=UP_WITHIN_S,
        check=False,
    )
    assert not check or done.returncode == 0, f"facet {' '.join(arguments)}: {done.stderr}{_logs(folder)}"
    return done.stdout


def _logs(folder: Path) -> str:
    logs = sorted((folder / ".facet" / "stack" / "logs").glob("*.log"))
    return "".join(f"\n== {log.name}\n{log.read_text(errors='replace')[-2000:]}" for log in logs)
