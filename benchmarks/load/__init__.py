"""The load test: simulated users, their models, and one run with its report."""
