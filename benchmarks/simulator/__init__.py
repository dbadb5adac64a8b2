"""Planning past one machine: a discrete-event simulation of the cluster, fed with the engine's measured stage times."""
