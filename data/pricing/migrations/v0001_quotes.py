"""Quotes."""

from data.kit.messaging_ddl import MESSAGING_1, MESSAGING_1_DOWN
from data.kit.migrate import execute

revision, down_revision = "0001", None

UP = (
    *MESSAGING_1,
    """CREATE TABLE quotes (
        id uuid NOT NULL, order_id uuid, owner_id text NOT NULL, status text NOT NULL, priority text NOT NULL,
        process text NOT NULL, material text NOT NULL, finish text, quantity integer NOT NULL, unit text NOT NULL,
        model_sha256 text NOT NULL, progress double precision NOT NULL DEFAULT 0, interval_low numeric(14, 2),
        interval_high numeric(14, 2), currency text, content_id text, result jsonb, error text,
        expires_at timestamptz, started_at timestamptz, finished_at timestamptz,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pk_quotes PRIMARY KEY (id)
    ) WITH (fillfactor = 80)""",
    "CREATE INDEX ix_quotes_owner ON quotes (owner_id, created_at DESC, id DESC)",
    "CREATE INDEX ix_quotes_order ON quotes (order_id) WHERE order_id IS NOT NULL",
    "CREATE INDEX ix_quotes_model ON quotes (owner_id, model_sha256)",
    "CREATE INDEX ix_quotes_unfinished ON quotes (priority, created_at) WHERE finished_at IS NULL",
)
DOWN = ("DROP TABLE quotes", *MESSAGING_1_DOWN)


def upgrade() -> None:
    """Create the tables."""
    execute(UP)


def downgrade() -> None:
    """Drop the tables."""
    execute(DOWN)
