"""Persistence and messaging: a database per service, event contracts, outbox and inbox, Kafka, Redis, model store."""
