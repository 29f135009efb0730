"""Digests, records and audits."""
