"""How the suite is spread over processes."""

import pytest


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items):
    """A folder's tests stay in one process, for they share costly fixtures; those of the workflow,
    which take the longest, begin."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(item.path.parent.name))
    items.sort(key=lambda item: item.path.parent.name != "workflow")
