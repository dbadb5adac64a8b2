"""People and services that sign in."""

from data.kit.messaging_ddl import MESSAGING_1, MESSAGING_1_DOWN
from data.kit.migrate import execute

revision, down_revision = "0001", None

UP = (
    *MESSAGING_1,
    """CREATE TABLE users (
        id uuid NOT NULL, username text NOT NULL, password text NOT NULL, roles text[] NOT NULL,
        active boolean NOT NULL, version integer NOT NULL DEFAULT 1, created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pk_users PRIMARY KEY (id), CONSTRAINT uq_users_username UNIQUE (username)
    )""",
    """CREATE TABLE clients (
        client_id text NOT NULL, secret bytea NOT NULL, roles text[] NOT NULL, active boolean NOT NULL,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pk_clients PRIMARY KEY (client_id)
    )""",
)
DOWN = ("DROP TABLE clients, users", *MESSAGING_1_DOWN)


def upgrade() -> None:
    """Create the tables."""
    execute(UP)


def downgrade() -> None:
    """Drop the tables."""
    execute(DOWN)
