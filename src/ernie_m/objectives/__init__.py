"""MMLM, TLM, CAMLM and BTMLM: from text to streams, attention table and labels."""

OBJECTIVES = ("mmlm", "tlm", "camlm", "btmlm")
