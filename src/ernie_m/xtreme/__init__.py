"""Evaluation tasks: prepare, fine-tune, predict, score."""
