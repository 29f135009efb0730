"""Typed configuration: one file per top-level key."""
