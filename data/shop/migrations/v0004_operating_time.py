"""Orders wait for their price in operating time, which outages stop."""

from data.kit.migrate import execute
from data.kit.timers import DDL, DDL_DOWN

revision, down_revision = "0004", "0003"

UP = (
    *DDL,
    "ALTER TABLE orders ADD COLUMN waiting_since_ms bigint",
    "UPDATE orders SET waiting_since_ms = 0 WHERE status = 'SUBMITTED'",
    "DROP INDEX ix_orders_waiting",
    "CREATE INDEX ix_orders_waiting ON orders (waiting_since_ms) WHERE status = 'SUBMITTED'",
)
DOWN = (
    "DROP INDEX ix_orders_waiting",
    "ALTER TABLE orders DROP COLUMN waiting_since_ms",
    "CREATE INDEX ix_orders_waiting ON orders (submitted_at) WHERE status = 'SUBMITTED'",
    *DDL_DOWN,
)


def upgrade() -> None:
    """Add the clock and the column."""
    execute(UP)


def downgrade() -> None:
    """Drop the clock and the column."""
    execute(DOWN)
