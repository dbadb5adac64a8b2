"""Partners: jewellers who order through an API of their own, and get the progress of orders by webhooks."""
