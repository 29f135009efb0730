"""From downloaded archives to filtered, deduplicated and split text."""
