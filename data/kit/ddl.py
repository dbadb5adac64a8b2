"""The DDL of the shared tables, by version: a migration names the version it brings, and that text never changes."""

from __future__ import annotations

MESSAGING_1 = (
    """CREATE TABLE outbox (
        id bigint GENERATED ALWAYS AS IDENTITY, topic text NOT NULL, subject text NOT NULL, value text NOT NULL,
        CONSTRAINT pk_outbox PRIMARY KEY (id)
    ) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
            autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_cost_delay = 0)""",
    """CREATE TABLE outbox_sequences (
        source text NOT NULL, subject text NOT NULL, last bigint NOT NULL,
        CONSTRAINT pk_outbox_sequences PRIMARY KEY (source, subject)
    ) WITH (fillfactor = 70)""",
    """CREATE TABLE inbox (
        consumer text NOT NULL, event_id uuid NOT NULL, received_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pk_inbox PRIMARY KEY (consumer, event_id)
    )""",
    "CREATE INDEX ix_inbox_received_at ON inbox USING brin (received_at)",
    """CREATE TABLE idempotency_keys (
        caller text NOT NULL, key text NOT NULL, body_sha256 bytea NOT NULL, answer jsonb,
        created_at timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT pk_idempotency_keys PRIMARY KEY (caller, key)
    )""",
    "CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys USING brin (created_at)",
)
MESSAGING_1_DOWN = ("DROP TABLE idempotency_keys, inbox, outbox_sequences, outbox",)

RELAY_SLEEPS = 0x51EEB5
"""The advisory lock that a sleeping relay holds: whoever writes events meanwhile wakes it."""

# A transaction that notifies waits at its commit for all others of the server that do, so only a sleeper is notified.
# The shared lock stays until the commit: the relay gets its own when no writer is left that found it awake.
MESSAGING_2 = (
    f"""CREATE FUNCTION outbox_filled() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NOT pg_try_advisory_xact_lock_shared({RELAY_SLEEPS}) THEN NOTIFY outbox; END IF;
        RETURN NULL;
    END $$""",
    "CREATE TRIGGER tr_outbox_filled AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION outbox_filled()",
)
MESSAGING_2_DOWN = ("DROP TRIGGER tr_outbox_filled ON outbox", "DROP FUNCTION outbox_filled")
