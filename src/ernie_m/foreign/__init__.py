"""Weights from elsewhere, in our names and our vocabulary's order."""
