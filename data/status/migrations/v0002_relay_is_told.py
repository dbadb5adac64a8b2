"""The relay is told of a commit instead of looking for it."""

from data.kit.messaging_ddl import MESSAGING_2, MESSAGING_2_DOWN
from data.kit.migrate import execute

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    """Make the trigger."""
    execute(MESSAGING_2)


def downgrade() -> None:
    """Drop it."""
    execute(MESSAGING_2_DOWN)
