"""The suite itself: processes that share it must collect the same tests."""

import os
import subprocess
import sys

from tests.repository import ROOT

# A worker that starts in another second, on another day, and draws other hashes.
COLLECT = """
import sys, time
now, later = time.time, float(sys.argv[1])
time.time = lambda: now() + later
import pytest
sys.exit(pytest.main(["--collect-only", "-p", "no:cacheprovider"]))
"""


def collected(later, hash_seed):
    """Start the collection of the whole suite, at another time and with another hash seed."""
    words = [sys.executable, "-c", COLLECT, str(later)]
    environment = os.environ | {"PYTHONHASHSEED": str(hash_seed), "PYTEST_ADDOPTS": ""}
    return subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def test_the_names_of_tests_depend_on_no_clock_and_no_hash_seed():
    """Or the workers of a run disagree, now and then, on what there is to do."""
    one, other = (
        [line for line in process.communicate()[0].splitlines() if "::" in line]
        for process in [collected(0, 1), collected(100_000, 2)]
    )
    assert len(one) > 1000 and one == other
