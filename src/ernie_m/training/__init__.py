"""Dataloader, optimiser, schedule, training loop and resume state."""
