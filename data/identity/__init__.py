"""The identity service's database: people with passwords and roles, and services with credentials."""
