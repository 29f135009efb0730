"""Tasks made of what the run has: held-out rows, and parts of published files."""
