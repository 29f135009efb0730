"""Looking at what a model has learned, from the command line."""
