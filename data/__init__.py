"""What outlives a process: a database per service, event contracts, outbox and inbox, Kafka, cache, model store."""
