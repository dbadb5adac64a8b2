"""Store parked events, which wait for their predecessors, in a table."""

from data.kit.messaging_ddl import MESSAGING_3, MESSAGING_3_DOWN, move_parked
from data.kit.migrate import execute

revision, down_revision = "0003", "0002"

UP = (
    *MESSAGING_3,
    move_parked("status", "SELECT jsonb_array_elements(parked) -> 'event' AS event FROM orders"),
    "ALTER TABLE orders DROP COLUMN parked, DROP COLUMN parked_since",
)
DOWN = (
    "ALTER TABLE orders ADD COLUMN parked jsonb NOT NULL DEFAULT '[]'::jsonb, ADD COLUMN parked_since timestamptz",
    "CREATE INDEX ix_orders_parked ON orders (parked_since) WHERE parked_since IS NOT NULL",
    *MESSAGING_3_DOWN,
)


def upgrade() -> None:
    """Create the table."""
    execute(UP)


def downgrade() -> None:
    """Drop the table with its events."""
    execute(DOWN)
