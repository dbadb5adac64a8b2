"""Settings of the services beside those of :mod:`data.kit.settings`; each is ``FACET_`` and the upper-case name."""

from __future__ import annotations

from functools import cache

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from data.kit.settings import DataSettings
from serve_app.kit.tokens import AUDIENCE, ROLES_CLAIM


class ServiceSettings(DataSettings):
    """Addresses, credentials, limits and time-outs of the services."""

    model_config = SettingsConfigDict(populate_by_name=True)

    api_url: str = "http://127.0.0.1:8000"
    """The address of all services, which they also use to reach each other."""
    issuer: str | None = None
    """URL of an OIDC issuer; by default the local one, ``<api_url>/auth``."""
    audience: str = AUDIENCE
    """The audience that tokens must have (``aud``)."""
    roles_claim: str = ROLES_CLAIM
    """The claim that contains roles: its name, or a path such as ``realm_access.roles``."""
    signing_key: SecretStr | None = None
    """Private key of the local issuer, an Ed25519 JWK in JSON; only the service ``identity`` needs it."""
    token_lifetime_s: int = 3600

    largest_model_mib: int = 512
    upload_idle_timeout_s: float = Field(
        default=30.0,
        # The second name is deprecated: it will be removed in the next release.
        validation_alias=AliasChoices("FACET_UPLOAD_IDLE_TIMEOUT_S", "FACET_UPLOAD_PATIENCE_S"),
    )
    """Seconds that an upload may send nothing before it is refused."""

    price_book: str | None = None
    """File of the price book; by default the one of the engine."""
    quote_valid_days: float = 14.0
    pricing_overdue_s: float = 900.0
    """Seconds after which pricing of a submitted order has failed."""

    webhook_private_addresses: bool = False
    """Whether webhooks may lead into private networks, for tests on one machine."""
    webhook_timeout_s: float = 10.0

    @property
    def issuer_url(self) -> str:
        """Return the issuer whose tokens are accepted."""
        return self.issuer or f"{self.api_url}/auth"


@cache
def settings() -> ServiceSettings:
    """Return the settings of this process, read once."""
    return ServiceSettings()
