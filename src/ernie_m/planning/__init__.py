"""Cost estimate of a configuration."""
