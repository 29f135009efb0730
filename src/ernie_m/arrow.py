"""pyarrow, kept from loading pandas.

It asks pandas about the first list that it makes an array of, and loads it for that: half a second,
which is most of a short job, for nothing that a job here uses. Asked once while pandas cannot be
found, it goes on without it; what asks for pandas by name, as ``to_pandas`` does, still has it.
"""

from __future__ import annotations

import sys

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["pa", "pq"]


class _NoPandas:
    """A finder of modules to which pandas is not installed."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name=name)


sys.meta_path.insert(0, _NoPandas)
try:
    pa.array([])
finally:
    sys.meta_path.remove(_NoPandas)
