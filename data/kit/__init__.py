"""The mechanics that every service shares: settings, database, outbox, relay, inbox, consumers, pages, idempotency."""
