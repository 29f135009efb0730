"""The pre-training stages: initialise, camlm, backtranslate, btmlm."""
