"""What stands behind a result, and whether it holds."""
