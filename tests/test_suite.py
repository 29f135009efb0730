"""The suite itself: processes that share it must collect the same tests."""

import os
import subprocess
import sys

from tests.repository import ROOT

# A worker that starts on another day, and draws other hashes.
COLLECT = """
import sys, time
now = time.time
time.time = lambda: now() + 100_000
import pytest
sys.exit(pytest.main(["--collect-only", "--assert=plain", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""


def collected(*arguments):
    """The names of tests that a new process collects."""
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTEST_ADDOPTS": ""}
    command = [sys.executable, "-c", COLLECT, *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_the_names_of_tests_depend_on_no_clock_and_no_hash_seed(request):
    """Or the workers of a run disagree, now and then, on what there is to do."""
    own = [item.nodeid for item in request.session.items]
    files = dict.fromkeys(name.partition("::")[0] for name in own)
    assert [name for name in collected(*files) if name in own] == own
