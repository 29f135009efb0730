"""ERNIE-M, reproduced: objectives, encoder, pipeline and lineage."""
