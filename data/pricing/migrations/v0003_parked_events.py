"""Store parked events, which wait for their predecessors, in a table."""

from data.kit.messaging_ddl import MESSAGING_3, MESSAGING_3_DOWN
from data.kit.migrate import execute

revision, down_revision = "0003", "0002"


def upgrade() -> None:
    """Create the table."""
    execute(MESSAGING_3)


def downgrade() -> None:
    """Drop the table with its events."""
    execute(MESSAGING_3_DOWN)
