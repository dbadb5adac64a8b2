"""What Redis does for services: announcements between processes; it may vanish and nothing fails."""
