"""What a process makes, how long it takes and what that costs."""
