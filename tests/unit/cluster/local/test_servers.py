"""Which servers the stack starts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from cluster.local import servers
from cluster.local.parts import Part
from tests.unit.cluster.local.fake_parts import web_server


def test_configured_servers_are_not_started(tmp_path: Path) -> None:
    configured = dict.fromkeys((*servers.DATABASE_URLS.values(), servers.REDIS_URL, servers.KAFKA_URL), "elsewhere")
    found = servers.make_servers(tmp_path, tmp_path, [], configured, print)
    assert (list(found.parts), found.environment) == ([], configured)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
def test_the_unconfigured_server_is_started(tmp_path: Path, value: str | None) -> None:
    def broker(folder: Path, logs: Path, topics: Sequence[str], on_progress: servers.OnProgress) -> Part:
        assert topics == ["topic"]
        return web_server(tmp_path, "kafka")

    configured = dict.fromkeys((*servers.DATABASE_URLS.values(), servers.REDIS_URL), "elsewhere")
    settings = configured if value is None else {**configured, servers.KAFKA_URL: value}
    found = servers.make_servers(tmp_path, tmp_path, ["topic"], settings, print, broker)
    (part,) = found.parts
    assert part.name == "kafka"
    assert found.environment == {**configured, servers.KAFKA_URL: part.address}
