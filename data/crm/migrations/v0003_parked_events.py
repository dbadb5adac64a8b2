"""Events that wait for their predecessors are parked in a table."""

from data.kit.messaging_ddl import MESSAGING_3, MESSAGING_3_DOWN
from data.kit.migrate import execute

revision, down_revision = "0003", "0002"


def upgrade() -> None:
    """Create the table."""
    execute(MESSAGING_3)


def downgrade() -> None:
    """Drop it, with the events that wait."""
    execute(MESSAGING_3_DOWN)
