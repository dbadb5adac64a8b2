"""Settings: read from FACET_* only, named if missing, and never printed."""

from __future__ import annotations

import pytest

from data.kit.errors import SettingMissing
from data.kit.settings import SERVICES, DataSettings


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_a_separate_database_url(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    monkeypatch.setenv(f"FACET_{service.upper()}_DATABASE_URL", "postgresql://u:hidden@h/d")
    settings = DataSettings()
    assert settings.database_url(service) == "postgresql://u:hidden@h/d"
    assert "hidden" not in repr(settings)


def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACET_KAFKA_URL", raising=False)
    with pytest.raises(SettingMissing, match="FACET_KAFKA_URL"):
        DataSettings().needed("kafka_url")
