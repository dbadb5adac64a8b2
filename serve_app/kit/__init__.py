"""What every service shares: problem details, sign-in, health, metrics, lists, uploads, and how an app is built."""
