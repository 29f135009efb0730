"""Lineage: digests, the record beside each result, and the graph that the records form."""
