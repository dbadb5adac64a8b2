"""Settings of the services."""

from __future__ import annotations

from cluster.local import serve_part


def test_secrets_are_masked() -> None:
    settings = {
        "FACET_SHOP_DATABASE_URL": "postgresql://facet_shop:hidden@127.0.0.1:1/facet_shop",
        "FACET_REDIS_URL": "redis://:hidden@127.0.0.1:1/0",
        "FACET_SIGNING_KEY": "hidden",
        "FACET_CURSOR_SECRET": "hidden",
        "FACET_KAFKA_URL": "127.0.0.1:1",
        "RAY_OTHER": "not ours",
    }
    masked = serve_part.masked(settings)
    assert "hidden" not in str(masked)
    assert masked["FACET_SHOP_DATABASE_URL"] == "postgresql://facet_shop:***@127.0.0.1:1/facet_shop"
    assert masked["FACET_KAFKA_URL"] == "127.0.0.1:1"
    assert "RAY_OTHER" not in masked
