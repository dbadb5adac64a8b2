"""Status: the current status and history of every order, for its owner, as it changes."""
