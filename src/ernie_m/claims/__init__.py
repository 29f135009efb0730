"""The paper's claims, and what a run found of them."""
