"""Downloads, pinned and verified, in the same way for all registries."""
