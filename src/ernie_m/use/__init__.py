"""Command-line tools to look at a trained model."""
