"""The board."""

from data.kit.messaging_ddl import MESSAGING_1, MESSAGING_1_DOWN
from data.kit.migrate import execute

revision, down_revision = "0001", None

UP = (
    *MESSAGING_1,
    """CREATE TABLE tasks (
        id uuid NOT NULL, status text NOT NULL, held_from text, process text NOT NULL, material text NOT NULL,
        finish text, quantity integer NOT NULL, priority text NOT NULL, unit text NOT NULL, model_sha256 text NOT NULL,
        claimed_by text, claimed_at timestamptz, tracking text, reason text,
        revision integer NOT NULL, version integer NOT NULL DEFAULT 1,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pk_tasks PRIMARY KEY (id)
    )""",
    "CREATE INDEX ix_tasks_newest ON tasks (created_at DESC, id DESC)",
    "CREATE INDEX ix_tasks_status ON tasks (status, created_at DESC, id DESC)",
    """CREATE INDEX ix_tasks_operator ON tasks (claimed_by, created_at DESC, id DESC)
        WHERE claimed_by IS NOT NULL""",
    """CREATE TABLE withdrawn (
        order_id uuid NOT NULL, at timestamptz NOT NULL, CONSTRAINT pk_withdrawn PRIMARY KEY (order_id)
    )""",
)
DOWN = ("DROP TABLE tasks, withdrawn", *MESSAGING_1_DOWN)


def upgrade() -> None:
    """Create the tables."""
    execute(UP)


def downgrade() -> None:
    """Drop the tables."""
    execute(DOWN)
