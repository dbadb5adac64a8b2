"""The MES: the board of approved orders, which operators claim and make."""
