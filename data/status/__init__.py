"""The status service's database: a read model of every order, projected from the events of all services."""
