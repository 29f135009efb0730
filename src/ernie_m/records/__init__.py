"""What was made of what: digests, the record beside each result, the graph that they form."""
