"""Fresh indexes on the Elasticsearch and OpenSearch servers that tests talk to."""

import itertools
import os
import time

import pytest

from lookalike.adapters.text_elasticsearch_options import ElasticsearchOptions
from lookalike.adapters.text_elasticsearch_provision import create_index
from lookalike.adapters.text_elasticsearch_server import SearchServer
from tests.real_services import need

CLUSTERS = ("elasticsearch", "opensearch")
CLUSTER_PARAMS = [pytest.param(name, marks=pytest.mark.service) for name in CLUSTERS]


class SearchClusters:
    """Makes indexes and deletes them all at the end, which is quicker than one by one."""

    def __init__(self):
        self._prefix = f"test-{os.getpid()}-{time.monotonic_ns() % 10**9}"
        self._numbers = itertools.count()
        self._servers = {}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for server in self._servers.values():
            found = server.call("GET", f"/{self._prefix}*/_mapping")
            for name in found:
                server.call("DELETE", f"/{name}", allowed=(404,))
            server.close()

    def options(self, product, **settings):
        """Return options for an alias of its own, where nothing was made yet."""
        settings = {"replicas": 0, "request_timeout_s": 30.0, **settings}
        alias = f"{self._prefix}-{next(self._numbers)}"
        options = ElasticsearchOptions.from_url(f"{need(product)}/{alias}", **settings)
        if product not in self._servers:
            self._servers[product] = SearchServer(options)
        return options

    def fresh(self, product, **settings):
        """Return options for an empty index of its own."""
        options = self.options(product, **settings)
        server = SearchServer(options)
        create_index(server, 1, options.alias)
        server.close()
        return options
