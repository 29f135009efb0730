"""Third-party checkpoints, under our tensor names and in our vocabulary's order."""
