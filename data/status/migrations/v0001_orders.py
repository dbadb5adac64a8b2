"""The read model."""

from data.kit.messaging_ddl import MESSAGING_1, MESSAGING_1_DOWN
from data.kit.migrate import execute

revision, down_revision = "0001", None

UP = (
    *MESSAGING_1,
    """CREATE TABLE orders (
        id uuid NOT NULL, status text, held_from text, owner_id text, partner boolean NOT NULL DEFAULT false,
        priority text, quote jsonb, entries integer NOT NULL DEFAULT 0,
        revision integer NOT NULL DEFAULT 0, submitted uuid[] NOT NULL DEFAULT '{}'::uuid[],
        seen jsonb NOT NULL DEFAULT '{}'::jsonb,
        parked jsonb NOT NULL DEFAULT '[]'::jsonb, parked_since timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pk_orders PRIMARY KEY (id)
    )""",
    "CREATE INDEX ix_orders_owner ON orders (owner_id, created_at DESC, id DESC)",
    "CREATE INDEX ix_orders_status ON orders (status, created_at DESC, id DESC)",
    "CREATE INDEX ix_orders_parked ON orders (parked_since) WHERE parked_since IS NOT NULL",
    """CREATE TABLE history (
        order_id uuid NOT NULL, n integer NOT NULL, status text NOT NULL, at timestamptz NOT NULL, by text NOT NULL,
        event_id uuid NOT NULL,
        CONSTRAINT pk_history PRIMARY KEY (order_id, n),
        CONSTRAINT fk_history_order_id FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE
    )""",
)
DOWN = ("DROP TABLE history, orders", *MESSAGING_1_DOWN)


def upgrade() -> None:
    """Create the tables."""
    execute(UP)


def downgrade() -> None:
    """Drop the tables."""
    execute(DOWN)
