"""pyarrow without pandas."""

import subprocess
import sys

CODE = """
import sys
from ernie_m.arrow import pa
table = pa.table({"a": pa.array([1, 2])})
print("pandas" in sys.modules)
print(table.to_pandas()["a"].sum(), "pandas" in sys.modules)
"""


def test_pandas_is_loaded_by_who_asks_for_it_and_by_no_list():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "3", "True"]
