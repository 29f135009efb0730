"""MMLM, TLM, CAMLM and BTMLM: text to streams, table and labels."""
