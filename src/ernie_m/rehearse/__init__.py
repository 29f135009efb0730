"""Any configuration, run whole on small files made in the publishers' formats."""
