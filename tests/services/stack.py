"""The whole local stack for a test: brought up by `facet up`, spoken to over HTTP as users do, brought down after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx

from cluster.local import postgres
from cluster.local.demo_accounts import passwords
from cluster.local.ports import free_ports
from tests.services.disks import MountRefused, SmallDisk, mounted

UP_WITHIN_S = 400
FACET = (sys.executable, "-m", "pricing_engine")
OTHER_PARTNER = "another partner"
"""Whom the tests add, since partners are strangers to each other."""
Found = TypeVar("Found")


@dataclass
class Stack:
    """A running stack; ``http`` reaches it, the rest is what `facet status --json` said when it was up."""

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
        """What `facet status --json` says now."""
        said = _facet(self.folder, "status", "--json", check=False)
        tree: dict[str, Any] = json.loads(said)
        return tree

    def part(self, name: str) -> dict[str, Any]:
        """One part of :meth:`status`."""
        return next(part for part in self.status()["parts"] if part["name"] == name)

    def as_user(self, name: str) -> dict[str, str]:
        """Headers of a demo account (customer, seller, operator, admin, mes, partner) or of an added partner."""
        if name == "partner":
            return {"X-API-Key": self.demo["partner_api_key"]}
        if name in self._keys:
            return {"X-API-Key": self._keys[name]}
        if name not in self._tokens:
            self._tokens[name] = self._token(name)
        return {"Authorization": f"Bearer {self._tokens[name]}"}

    def database_urls(self) -> dict[str, str]:
        """The URL of each service's database."""
        return postgres.urls(self.part("postgresql")["address"], passwords(self.folder / ".facet" / "stack" / "data"))

    def add_partner(self, name: str) -> None:
        """One more partner, as operations add one."""
        known = {"FACET_PARTNERS_DATABASE_URL": self.database_urls()["partners"]}
        self._keys[name] = _facet(self.folder, "accounts", "partner", name, **known).strip()

    def _token(self, name: str) -> str:
        if name == "mes":
            grant = {"grant_type": "client_credentials", **self.demo["mes_service"]}
        else:
            grant = {"grant_type": "password", **self.demo[name]}
        return str(self.http.post("/auth/token", data=grant).raise_for_status().json()["access_token"])

    def get(self, path: str, who: str, **rest: Any) -> httpx.Response:
        """GET as somebody."""
        return self.http.get(path, headers=self.as_user(who), **rest)

    def post(self, path: str, who: str, **rest: Any) -> httpx.Response:
        """POST as somebody."""
        headers = {**self.as_user(who), **rest.pop("headers", {})}
        return self.http.post(path, headers=headers, **rest)

    def put(self, path: str, who: str, **rest: Any) -> httpx.Response:
        """PUT as somebody."""
        headers = {**self.as_user(who), **rest.pop("headers", {})}
        return self.http.put(path, headers=headers, **rest)

    def order(self, model: bytes, who: str = "customer", **wish: Any) -> str:
        """A submitted order for ``model``; gives its id."""
        wanted = {"process": "casting", "material": "silver-925", **wish}
        ident = str(self.post("/shop/orders", who, json=wanted).raise_for_status().json()["order_id"])
        self.put(f"/shop/orders/{ident}/model", who, files={"model": ("model.stl", model)}).raise_for_status()
        self.post(f"/shop/orders/{ident}/submit", who).raise_for_status()
        return ident

    def reaches(self, ident: str, *statuses: str, who: str = "customer", within_s: float = 60) -> dict[str, Any]:
        """The order as the status service tells it once it has one of ``statuses``."""

        def look() -> dict[str, Any] | None:
            answer = self.get(f"/status/orders/{ident}", who)
            return answer.json() if answer.is_success and answer.json()["status"] in statuses else None

        return eventually(look, f"order {ident} becomes {' or '.join(statuses)}", within_s)


def eventually(look: Callable[[], Found | None], what: str, within_s: float = 60) -> Found:
    """What ``look`` gives once it gives something."""
    deadline = time.monotonic() + within_s
    while (found := look()) is None:
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.05)
    return found


@contextmanager
def running(folder: Path, small_disks: Mapping[str, tuple[Path, int]] | None = None) -> Iterator[Stack]:
    """The stack with all that it keeps in ``folder``.

    ``small_disks``: folders of it that become file systems of their own, of so many bytes, for tests that fill them;
    where this process may not mount, the stack has none of them, and ``disks_refused`` says why.
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
        tree = json.loads(_facet(folder, "status", "--json"))
        with httpx.Client(base_url=tree["url"], timeout=60) as http:
            yield Stack(folder, tree["url"], tree["demo"], tree["kafka_bootstrap"], http)
    finally:
        _facet(folder, "down")


def _facet(folder: Path, *arguments: str, check: bool = True, **settings: str) -> str:
    others = {name: value for name, value in os.environ.items() if not name.startswith(("FACET_", "RAY_"))}
    done = subprocess.run(
        [*FACET, *arguments],
        cwd=folder,
        env=others | settings,
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
