"""Settings of the services beside those of :mod:`data.kit.settings`; each is ``FACET_`` and the upper-case name."""

from __future__ import annotations

from functools import cache

from pydantic import SecretStr

from data.kit.settings import Settings
from serve_app.kit.tokens import AUDIENCE, ROLES_CLAIM


class ServiceSettings(Settings):
    """Where services find each other, and how long they wait."""

    api_url: str = "http://127.0.0.1:8000"
    """Where all services answer; they reach each other there too."""
    issuer: str | None = None
    """An OIDC issuer's URL; without one it is the local issuer, ``<api_url>/auth``."""
    audience: str = AUDIENCE
    """What the issuer calls us: the ``aud`` of its tokens for us."""
    roles_claim: str = ROLES_CLAIM
    """Where the issuer writes roles: the name of a claim, or a path such as ``realm_access.roles``."""
    signing_key: SecretStr | None = None
    """The local issuer's private key, an Ed25519 JWK in JSON; only the service ``identity`` needs it."""
    token_lifetime_s: int = 3600

    largest_model_mib: int = 512
    upload_patience_s: float = 30.0
    """How long an upload may send nothing before it is given up."""

    price_book: str | None = None
    """A price book's file; without one, the one that comes with the engine."""
    quote_valid_days: float = 14.0
    pricing_overdue_s: float = 900.0
    """After how long an order that has no price yet is told that there is none."""

    webhook_private_addresses: bool = False
    """Whether webhooks may lead into private networks: for trying them on one machine."""
    webhook_timeout_s: float = 10.0

    @property
    def issuer_url(self) -> str:
        """The issuer whose tokens are accepted."""
        return self.issuer or f"{self.api_url}/auth"


@cache
def settings() -> ServiceSettings:
    """The settings of this process, read once."""
    return ServiceSettings()
