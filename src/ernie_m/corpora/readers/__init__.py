"""One file per upstream format."""
