"""Capacity planning: a discrete-event simulation of the cluster, based on the engine's measured stage times."""
