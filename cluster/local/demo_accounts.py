"""The local stack's accounts: their passwords lie with those of the servers, and `facet status --json` shows them."""

from __future__ import annotations

import json
from pathlib import Path

from joserfc.jwk import OKPKey

from cluster.local.passwords import Passwords
from data.kit import secrets
from data.kit.settings import Settings
from data.partners.repository import KEY_PREFIX
from serve_app import demo
from serve_app.demo import MORE_OPERATORS, PEOPLE, Credentials


def passwords(folder: Path) -> Passwords:
    """Those of the stack in ``folder``."""
    return Passwords(folder / "passwords.json")


def credentials(folder: Path) -> Credentials:
    """Who may sign in, made at the first call."""
    kept = passwords(folder)
    return Credentials(
        {name: kept.of(f"demo-{name}") for name in (*PEOPLE, *MORE_OPERATORS)},
        kept.of("demo-mes", lambda: secrets.new("mes")),
        kept.of("demo-partner", lambda: secrets.new(KEY_PREFIX)),
    )


def signing_key(folder: Path) -> str:
    """The issuer's private key, a JWK in JSON."""
    return passwords(folder).of("signing-key", lambda: json.dumps(OKPKey.generate_key("Ed25519").as_dict(private=True)))


async def add(settings: Settings, folder: Path) -> None:
    """Add the accounts and the catalogue to the databases."""
    await demo.seed(settings, credentials(folder))
