"""The stages, and the jobs that a configuration asks for."""
