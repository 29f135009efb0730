"""Sentences as vectors: retrieval, nearest neighbours, mining."""
