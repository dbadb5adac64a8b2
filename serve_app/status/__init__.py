"""Status: where every order is and how it came there, for whoever owns it, as it happens."""
