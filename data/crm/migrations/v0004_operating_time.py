"""Quotes expire by the wall clock and by operating time, which outages stop."""

from data.kit.migrate import execute
from data.kit.timers import DDL, DDL_DOWN

revision, down_revision = "0004", "0003"

UP = (
    *DDL,
    "ALTER TABLE orders ADD COLUMN expires_after_ms bigint",
    """UPDATE orders SET expires_after_ms = ceil(1000 * extract(epoch FROM expires_at - now()))
        WHERE expires_at IS NOT NULL""",
)
DOWN = ("ALTER TABLE orders DROP COLUMN expires_after_ms", *DDL_DOWN)


def upgrade() -> None:
    """Add the clock and the column."""
    execute(UP)


def downgrade() -> None:
    """Drop the clock and the column."""
    execute(DOWN)
