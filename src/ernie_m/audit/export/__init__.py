"""Lineage in the standard formats of others, made from the records alone."""
