"""Batches, sampling, optimiser, schedule, loop and state."""
