"""Partners: jewellers who order through an API of their own, and are told by webhooks how their orders go on."""
