"""The status service's database: a read model of every order, built from the events of all services."""
