"""From downloaded archives to split, clean text."""
