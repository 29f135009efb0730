"""The lineage of a result, and whether it still holds."""
