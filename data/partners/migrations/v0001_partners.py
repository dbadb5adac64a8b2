"""Partners, their keys, orders, webhooks and deliveries."""

from data.kit.messaging_ddl import MESSAGING_1, MESSAGING_1_DOWN
from data.kit.migrate import execute

revision, down_revision = "0001", None

UP = (
    *MESSAGING_1,
    """CREATE TABLE partners (
        id uuid NOT NULL, name text NOT NULL, version integer NOT NULL DEFAULT 1,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pk_partners PRIMARY KEY (id), CONSTRAINT uq_partners_name UNIQUE (name)
    )""",
    """CREATE TABLE api_keys (
        id uuid NOT NULL, partner_id uuid NOT NULL, sha256 bytea NOT NULL, hint text NOT NULL, revoked_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pk_api_keys PRIMARY KEY (id), CONSTRAINT uq_api_keys_sha256 UNIQUE (sha256),
        CONSTRAINT fk_api_keys_partner_id FOREIGN KEY (partner_id) REFERENCES partners (id) ON DELETE CASCADE
    )""",
    "CREATE INDEX ix_api_keys_partner_id ON api_keys (partner_id)",
    """CREATE TABLE orders (
        id uuid NOT NULL, partner_id uuid, state jsonb NOT NULL DEFAULT '{}'::jsonb, parked_since timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pk_orders PRIMARY KEY (id),
        CONSTRAINT fk_orders_partner_id FOREIGN KEY (partner_id) REFERENCES partners (id) ON DELETE CASCADE
    )""",
    "CREATE INDEX ix_orders_parked ON orders (parked_since) WHERE parked_since IS NOT NULL",
    "CREATE INDEX ix_orders_partner ON orders (partner_id, created_at DESC, id DESC)",
    """CREATE TABLE webhooks (
        id uuid NOT NULL, partner_id uuid NOT NULL, url text NOT NULL, secret text NOT NULL, types text[],
        active boolean NOT NULL, version integer NOT NULL DEFAULT 1, created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pk_webhooks PRIMARY KEY (id),
        CONSTRAINT fk_webhooks_partner_id FOREIGN KEY (partner_id) REFERENCES partners (id) ON DELETE CASCADE
    )""",
    "CREATE INDEX ix_webhooks_partner_id ON webhooks (partner_id)",
    """CREATE TABLE deliveries (
        id uuid NOT NULL, place bigint NOT NULL GENERATED ALWAYS AS IDENTITY, webhook_id uuid NOT NULL,
        order_id uuid NOT NULL, event_id uuid NOT NULL, type text NOT NULL, body text NOT NULL, state text NOT NULL,
        attempts integer NOT NULL DEFAULT 0, replayed_after integer NOT NULL DEFAULT 0, next_attempt_at timestamptz,
        ended_at timestamptz, created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pk_deliveries PRIMARY KEY (id),
        CONSTRAINT uq_deliveries_webhook_id_event_id UNIQUE (webhook_id, event_id),
        CONSTRAINT fk_deliveries_webhook_id FOREIGN KEY (webhook_id) REFERENCES webhooks (id) ON DELETE CASCADE
    )""",
    "CREATE INDEX ix_deliveries_newest ON deliveries (webhook_id, created_at DESC, id DESC)",
    """CREATE INDEX ix_deliveries_due ON deliveries (webhook_id, next_attempt_at)
        WHERE next_attempt_at IS NOT NULL""",
    """CREATE INDEX ix_deliveries_order ON deliveries (webhook_id, order_id, place)
        WHERE next_attempt_at IS NOT NULL""",
    """CREATE TABLE attempts (
        delivery_id uuid NOT NULL, n integer NOT NULL, at timestamptz NOT NULL, answer integer, error text,
        took_ms integer NOT NULL,
        CONSTRAINT pk_attempts PRIMARY KEY (delivery_id, n),
        CONSTRAINT fk_attempts_delivery_id FOREIGN KEY (delivery_id) REFERENCES deliveries (id) ON DELETE CASCADE
    )""",
)
DOWN = ("DROP TABLE attempts, deliveries, webhooks, orders, api_keys, partners", *MESSAGING_1_DOWN)


def upgrade() -> None:
    """Create the tables."""
    execute(UP)


def downgrade() -> None:
    """Drop the tables."""
    execute(DOWN)
