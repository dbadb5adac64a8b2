"""Infrastructure that all services share: settings, database, outbox, relay, inbox, consumers, paging, idempotency."""
