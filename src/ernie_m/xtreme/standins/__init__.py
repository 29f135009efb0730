"""Stand-in tasks, made from the run's held-out rows or parts of published files."""
