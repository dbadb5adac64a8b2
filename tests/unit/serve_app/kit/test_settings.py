"""Settings of the services, and the old names of those that were renamed."""

from __future__ import annotations

import pytest

from serve_app.kit.settings import ServiceSettings


@pytest.mark.parametrize("name", ["FACET_UPLOAD_IDLE_TIMEOUT_S", "FACET_UPLOAD_PATIENCE_S"])
def test_the_idle_timeout_has_an_old_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ServiceSettings().upload_idle_timeout_s == 30.0
    monkeypatch.setenv(name, "7.5")
    assert ServiceSettings().upload_idle_timeout_s == 7.5


def test_the_new_name_counts_more_than_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACET_UPLOAD_PATIENCE_S", "1")
    monkeypatch.setenv("FACET_UPLOAD_IDLE_TIMEOUT_S", "2")
    assert ServiceSettings().upload_idle_timeout_s == 2.0
