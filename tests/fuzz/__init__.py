"""Mutated files in, told errors out: nothing that is read may end in a traceback or hang."""
