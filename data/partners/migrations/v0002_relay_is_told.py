"""Wake the relay at a commit instead of polling."""

from data.kit.messaging_ddl import MESSAGING_2, MESSAGING_2_DOWN
from data.kit.migrate import execute

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    """Create the trigger."""
    execute(MESSAGING_2)


def downgrade() -> None:
    """Drop the trigger."""
    execute(MESSAGING_2_DOWN)
