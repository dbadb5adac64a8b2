"""The MES: the board of approved orders; whoever claims one first makes it."""
