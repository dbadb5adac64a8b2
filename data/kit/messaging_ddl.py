"""The DDL of the shared tables, by version: a migration names the version it installs, and that text never changes."""

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

RELAY_SLEEP_LOCK = 0x51EEB5
"""The advisory lock that a sleeping relay holds: a transaction that writes events meanwhile wakes it."""

# Commits of transactions that notify are serialised over the whole server, so only a sleeping relay is notified.
# The shared lock is held until the commit: the relay gets its own when no writer is left that found it awake.
MESSAGING_2 = (
    f"""CREATE FUNCTION outbox_filled() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NOT pg_try_advisory_xact_lock_shared({RELAY_SLEEP_LOCK}) THEN NOTIFY outbox; END IF;
        RETURN NULL;
    END $$""",
    "CREATE TRIGGER tr_outbox_filled AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION outbox_filled()",
)
MESSAGING_2_DOWN = ("DROP TRIGGER tr_outbox_filled ON outbox", "DROP FUNCTION outbox_filled")

MESSAGING_3 = (
    """CREATE TABLE parked (
        id bigint GENERATED ALWAYS AS IDENTITY, consumer text NOT NULL, subject text NOT NULL, topic text NOT NULL,
        partition integer NOT NULL, kafka_offset bigint NOT NULL, event_id uuid, sequence bigint, value bytea,
        refused boolean NOT NULL, parked_at timestamptz NOT NULL DEFAULT now(), unreachable_at timestamptz,
        CONSTRAINT pk_parked PRIMARY KEY (id)
    )""",
    "CREATE INDEX ix_parked_subject ON parked (consumer, subject)",
    "CREATE UNIQUE INDEX uq_parked_event ON parked (consumer, event_id)",
    "CREATE INDEX ix_parked_undecided ON parked (consumer, id) WHERE NOT refused AND unreachable_at IS NULL",
    "CREATE INDEX ix_parked_unreachable ON parked (consumer) WHERE unreachable_at IS NOT NULL",
)
MESSAGING_3_DOWN = ("DROP TABLE parked",)


def move_parked(consumer: str, events: str) -> str:
    """Return the statement that moves JSON events into ``parked``; ``events``: a query with a column ``event``."""
    return f"""INSERT INTO parked
            (consumer, subject, topic, partition, kafka_offset, event_id, sequence, value, refused)
        SELECT '{consumer}', event ->> 'subject',
            CASE event ->> 'source' WHEN '/facet/shop/orders' THEN 'shop.orders.v1'
                WHEN '/facet/pricing' THEN 'pricing.quotes.v1' WHEN '/facet/crm' THEN 'crm.orders.v1'
                ELSE 'mes.production.v1' END,
            -1, -1, (event ->> 'id')::uuid, (event ->> 'sequence')::bigint, convert_to(event::text, 'UTF8'), false
        FROM ({events}) AS moved"""
