"""Doing jobs again, from their records alone."""
