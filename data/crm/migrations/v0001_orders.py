"""Orders that sellers decide about."""

from data.kit.messaging_ddl import MESSAGING_1, MESSAGING_1_DOWN
from data.kit.migrate import execute

revision, down_revision = "0001", None

UP = (
    *MESSAGING_1,
    """CREATE TABLE orders (
        id uuid NOT NULL, owner_id text NOT NULL, partner boolean NOT NULL, status text NOT NULL, held_from text,
        process text NOT NULL, material text NOT NULL, finish text, quantity integer NOT NULL, priority text NOT NULL,
        unit text NOT NULL, model_sha256 text NOT NULL, quote_id uuid, quote jsonb, reasons jsonb,
        expires_at timestamptz, note text, revision integer NOT NULL, version integer NOT NULL DEFAULT 1,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pk_orders PRIMARY KEY (id)
    )""",
    "CREATE INDEX ix_orders_newest ON orders (created_at DESC, id DESC)",
    "CREATE INDEX ix_orders_status ON orders (status, created_at DESC, id DESC)",
    "CREATE INDEX ix_orders_expiring ON orders (expires_at) WHERE expires_at IS NOT NULL",
)
DOWN = ("DROP TABLE orders", *MESSAGING_1_DOWN)


def upgrade() -> None:
    """Create the tables."""
    execute(UP)


def downgrade() -> None:
    """Drop the tables."""
    execute(DOWN)
