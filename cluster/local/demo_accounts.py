"""Demo accounts of the local stack: stored with the servers' passwords, shown by `facet status --json`."""

from __future__ import annotations

import json
from pathlib import Path

from joserfc.jwk import OKPKey

from cluster.local.passwords import Passwords
from data.kit import secrets
from data.kit.settings import DataSettings
from data.partners.repository import KEY_PREFIX
from serve_app import demo
from serve_app.demo import MORE_OPERATORS, PEOPLE, Credentials


def passwords(folder: Path) -> Passwords:
    """Return the passwords of the stack in ``folder``."""
    return Passwords(folder / "passwords.json")


def credentials(folder: Path) -> Credentials:
    """Return the demo accounts' credentials, generated at the first call."""
    stored = passwords(folder)
    return Credentials(
        {name: stored.get_or_create(f"demo-{name}") for name in (*PEOPLE, *MORE_OPERATORS)},
        stored.get_or_create("demo-mes", lambda: secrets.new("mes")),
        stored.get_or_create("demo-partner", lambda: secrets.new(KEY_PREFIX)),
    )


def signing_key(folder: Path) -> str:
    """Return the issuer's private key, a JWK in JSON."""
    return passwords(folder).get_or_create(
        "signing-key", lambda: json.dumps(OKPKey.generate_key("Ed25519").as_dict(private=True))
    )


async def add(settings: DataSettings, folder: Path) -> None:
    """Add the accounts and the catalogue to the databases."""
    await demo.seed(settings, credentials(folder))
