"""The encoder, its attention rule and its checkpoints."""
