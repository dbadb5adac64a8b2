"""Who may sign in: people with passwords and roles, and services with credentials."""
