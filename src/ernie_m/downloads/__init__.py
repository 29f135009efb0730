"""Bringing here what others publish, pinned and verified: one way for all registries."""
