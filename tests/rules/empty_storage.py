"""A storage provider of Snakemake in which there is nothing yet; plans can be made under it."""

from snakemake_interface_storage_plugins.storage_object import StorageObjectRead, StorageObjectWrite
from snakemake_interface_storage_plugins.storage_provider import (
    StorageProviderBase,
    StorageQueryValidationResult,
)


class StorageProvider(StorageProviderBase):
    """Takes any path for a query."""

    @classmethod
    def example_queries(cls):
        return []

    @classmethod
    def is_valid_query(cls, query):
        return StorageQueryValidationResult(query=query, valid=True)

    def rate_limiter_key(self, query, operation):
        return query

    def default_max_requests_per_second(self):
        return 1000.0

    def use_rate_limiter(self):
        return False


class StorageObject(StorageObjectRead, StorageObjectWrite):
    """A file that does not exist."""

    def local_suffix(self):
        return self.query

    async def inventory(self, cache):
        cache.exists_in_storage[self.cache_key()] = False

    def get_inventory_parent(self):
        return None

    def cleanup(self):
        pass

    def exists(self):
        return False

    def mtime(self):
        raise FileNotFoundError(self.query)

    size = retrieve_object = store_object = remove = mtime
