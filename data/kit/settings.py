"""Settings from the environment (``FACET_*``): addresses of the servers, and time-outs."""

from __future__ import annotations

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from data.kit.errors import SettingMissing

SERVICES = ("shop", "pricing", "crm", "mes", "status", "partners", "identity")


class DataSettings(BaseSettings):
    """The settings of this package; each environment variable is the upper-case name with the prefix ``FACET_``."""

    model_config = SettingsConfigDict(env_prefix="FACET_", frozen=True, extra="ignore")

    shop_database_url: SecretStr | None = None
    pricing_database_url: SecretStr | None = None
    crm_database_url: SecretStr | None = None
    mes_database_url: SecretStr | None = None
    status_database_url: SecretStr | None = None
    partners_database_url: SecretStr | None = None
    identity_database_url: SecretStr | None = None

    kafka_url: str | None = None
    """Bootstrap servers, ``host:port[,host:port]``."""
    redis_url: SecretStr | None = None
    model_store_url: SecretStr | None = None
    """``file:///folder`` or ``s3://bucket/prefix``."""
    cursor_secret: SecretStr | None = None
    """Signs page tokens; the same for all replicas of a service."""

    database_pool: int = 10
    """Connections of a process to one database."""
    statement_timeout_s: float = 10.0
    lock_timeout_s: float = 5.0
    connect_timeout_s: float = 5.0

    def database_url(self, service: str) -> str:
        """Return the URL of a service's database; raises SettingMissing."""
        return self.needed(f"{service}_database_url")

    def needed(self, name: str) -> str:
        """Return the value of a required setting; raises SettingMissing, which names it."""
        value = getattr(self, name)
        if not value:
            raise SettingMissing(f"FACET_{name.upper()} is not set")
        return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
