"""What a configuration would cost, before anything is run."""
