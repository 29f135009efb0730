"""Files generated from the config models and the table of stages."""
