"""Readers of published tasks, one file per task: ``read(upstream, split, language)``."""
