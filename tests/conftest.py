"""How the suite is spread over processes (`pytest -n auto --no-loadscope-reorder`)."""

from xdist.scheduler import LoadScopeScheduling


class ByFolder(LoadScopeScheduling):
    """A folder's tests stay in one process, for they share costly fixtures."""

    def _split_scope(self, nodeid):
        return nodeid.partition("::")[0].rpartition("/")[0]


def pytest_xdist_make_scheduler(config, log):
    """Instead of one of the schedulers that `--dist` names."""
    return ByFolder(config, log)


def pytest_collection_modifyitems(items):
    """Tests of the workflow, which take the longest, begin."""
    items.sort(key=lambda item: item.path.parent.name != "workflow")
