"""Which adapter a URL of `lookalike.toml` means; each is imported and connected when asked for."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from lookalike.adapters.blobs_options import BlobOptions
    from lookalike.adapters.catalog_cassandra import CassandraCatalog
    from lookalike.adapters.clicks_values import ClickBounds
    from lookalike.adapters.text_elasticsearch_rebuild import ElasticsearchRebuild
    from lookalike.adapters.text_elasticsearch_server import SearchServer
    from lookalike.adapters.vectors_milvus_options import MilvusOptions
    from lookalike.adapters.vectors_pinecone_options import PineconeOptions
    from lookalike.ports.blobs import BlobStore
    from lookalike.ports.clicks import ClickLog
    from lookalike.ports.filters import FilterIndex
    from lookalike.ports.hashes import HashStore
    from lookalike.ports.ingest_log import IngestLog
    from lookalike.ports.provision import Provisioner
    from lookalike.ports.regions import RegionIndex
    from lookalike.ports.text import TextIndex
    from lookalike.ports.vectors import VectorIndex
    from lookalike.settings.cluster import BackendConfig, ClusterConfig

REGIONS: Final = "regions"
HASHES: Final = "hashes"
BESIDE_VECTORS: Final = (REGIONS, HASHES)
"""Stand beside the ports of the file: they share the place of the vectors."""

HASH_NLIST: Final = 1024
HASH_NPROBE: Final = 128
"""Cells of hashes on Milvus, and how many of them are looked into."""

Options_co = TypeVar("Options_co", covariant=True)


class _Options(Protocol[Options_co]):
    """The options of an adapter, read from its URL."""

    @staticmethod
    def from_url(url: str, **settings: Any) -> Options_co: ...


class Backends:
    """The back ends of one cluster, each opened at most once; `close` ends them all."""

    def __init__(self, config: ClusterConfig) -> None:
        """Keep the configuration; nothing is connected before it is asked for."""
        self.config = config
        self._opened: dict[str, Any] = {}
        self._closing = ExitStack()

    def catalog(self) -> CassandraCatalog:
        """Return the catalog."""

        def connect() -> CassandraCatalog:
            from lookalike.adapters.catalog_cassandra import CassandraCatalog
            from lookalike.adapters.catalog_cassandra_options import CassandraOptions

            options = _read(CassandraOptions, self._of("catalog"))
            return CassandraCatalog.open(options, clock=time.time)

        return self._once("catalog", connect)

    def texts(self) -> tuple[TextIndex, FilterIndex]:
        """Return the text index, and the filter index over the same documents."""
        from lookalike.adapters.text_elasticsearch import ElasticsearchTextIndex
        from lookalike.adapters.text_elasticsearch_filters import ElasticsearchFilterIndex
        from lookalike.adapters.text_schema import TextIndexSettings
        from lookalike.domain.objects import known_words

        server, settings = self._search_server(), TextIndexSettings(known_words=known_words())
        open_texts = partial(ElasticsearchTextIndex.open, server, settings=settings)
        texts = self._once("texts", open_texts)
        filters = self._once("filters", partial(ElasticsearchFilterIndex.open, server))
        return texts, filters

    def begin_rebuild(self) -> ElasticsearchRebuild:
        """Return a text index that is made beside the old one; a left-over of one is dropped."""
        from lookalike.adapters.text_elasticsearch_rebuild import ElasticsearchRebuild

        server = self._search_server()
        ElasticsearchRebuild.abandon(server)
        return ElasticsearchRebuild.begin(server)

    def vectors(self, dim: int) -> VectorIndex:
        """Return the vector index."""
        return self._once("vectors", partial(self._vectors, dim))

    def regions(self, dim: int) -> RegionIndex:
        """Return the region index: a collection or namespace of its own beside the vectors."""
        from lookalike.adapters.regions_vectors import VectorRegionIndex

        return self._once(REGIONS, lambda: VectorRegionIndex(self._vectors(dim, REGIONS)))

    def hashes(self) -> HashStore:
        """Return the perceptual hashes: a collection or index of its own beside the vectors."""
        from lookalike.adapters.hashes_vectors import DIM, VectorHashIndex

        return self._once(HASHES, lambda: VectorHashIndex(self._vectors(DIM, HASHES)))

    def blobs(self) -> BlobStore:
        """Return the blob store; it connects with its first call."""
        from lookalike.adapters.blobs_obstore import ObstoreBlobStore

        config = self._of("blobs")
        options = self._blob_options() if config.scheme != "file" else None
        return self._once("blobs", partial(ObstoreBlobStore, config.url, options))

    def log(self) -> IngestLog:
        """Return the ingest log; whoever polls it joins the workers' group."""
        config = self._of("log")

        def connect() -> IngestLog:
            if config.scheme == "sqlite":
                from lookalike.adapters.log_sqlite import SqliteIngestLog
                from lookalike.adapters.log_sqlite_schema import SqliteLogOptions

                return SqliteIngestLog(_read(SqliteLogOptions, config))
            from lookalike.adapters.log_kafka import KafkaIngestLog
            from lookalike.adapters.log_kafka_options import KafkaOptions

            return KafkaIngestLog(_read(KafkaOptions, config))

        return self._once("log", connect)

    def clicks(self, bounds: ClickBounds) -> ClickLog:
        """Return the click log, in the catalog's keyspace; it connects with its first call."""

        def connect() -> ClickLog:
            from lookalike.adapters.catalog_cassandra_options import CassandraOptions
            from lookalike.adapters.clicks_cassandra import CassandraClickLog

            options = _read(CassandraOptions, self._of("catalog"))
            return CassandraClickLog(options, bounds, clock=time.time)

        return self._once("clicks", connect)

    def provisioner(self, port: str, dim: int) -> Provisioner:
        """Return what makes and checks a back end for vectors of `dim` numbers.

        `port` is one of the file's, or of `BESIDE_VECTORS`; hashes have a length of their own.
        """
        if port == HASHES:
            from lookalike.adapters.hashes_vectors import DIM

            dim = DIM
        return self._once(f"{port} provisioner", partial(self._provisioner, port, dim))

    def close(self) -> None:
        """Close everything that was opened; again, it does nothing."""
        self._closing.close()

    def _vectors(self, dim: int, kind: str = "") -> VectorIndex:
        config = self._of("vectors")
        if config.scheme == "pinecone":
            from lookalike.adapters.vectors_pinecone import PineconeVectorIndex

            return PineconeVectorIndex.open(_pinecone(config, kind), dim=dim)
        from lookalike.adapters.vectors_milvus import MilvusVectorIndex

        return MilvusVectorIndex.open(_milvus(config, kind), dim=dim)

    def _provisioner(self, port: str, dim: int) -> Provisioner:
        kind = port if port in BESIDE_VECTORS else ""
        config = self._of("vectors" if kind else port)
        if config.port == "catalog":
            from lookalike.adapters.catalog_cassandra_options import CassandraOptions
            from lookalike.adapters.catalog_cassandra_provision import CassandraProvisioner

            return CassandraProvisioner(_read(CassandraOptions, config))
        if config.port == "text":
            from lookalike.adapters.text_elasticsearch_provision import ElasticsearchProvisioner

            return ElasticsearchProvisioner(self._search_server())
        if config.port == "blobs":
            from lookalike.adapters.blobs_provision import BlobProvisioner

            is_local = config.scheme == "file"
            return BlobProvisioner(config.url, None if is_local else self._blob_options())
        if config.scheme == "pinecone":
            from lookalike.adapters.vectors_pinecone_provision import PineconeProvisioner

            return PineconeProvisioner(_pinecone(config, kind), dim=dim)
        if config.scheme == "milvus":
            from lookalike.adapters.vectors_milvus_provision import MilvusProvisioner

            return MilvusProvisioner(_milvus(config, kind), dim=dim)
        if config.scheme == "sqlite":
            from lookalike.adapters.log_sqlite_provision import SqliteLogProvisioner
            from lookalike.adapters.log_sqlite_schema import SqliteLogOptions

            return SqliteLogProvisioner(_read(SqliteLogOptions, config))
        from lookalike.adapters.log_kafka_options import KafkaOptions
        from lookalike.adapters.log_kafka_provision import KafkaProvisioner

        return KafkaProvisioner(_read(KafkaOptions, config))

    def _search_server(self) -> SearchServer:
        from lookalike.adapters.text_elasticsearch_options import ElasticsearchOptions
        from lookalike.adapters.text_elasticsearch_server import SearchServer

        options = _read(ElasticsearchOptions, self._of("text"))
        return self._once("search server", partial(SearchServer, options))

    def _blob_options(self) -> BlobOptions:
        from lookalike.adapters.blobs_options import BlobOptions

        config = self._of("blobs")
        keys = config.secrets
        pair = {"username": keys.get("access_key", ""), "password": keys.get("secret_key", "")}
        return BlobOptions.from_url(config.url, **pair, **config.settings)

    def _of(self, port: str) -> BackendConfig:
        return self.config.backends[port]

    def _once(self, name: str, connect: Callable[[], Any]) -> Any:
        if name not in self._opened:
            made = self._opened[name] = connect()
            if hasattr(made, "close"):
                self._closing.callback(made.close)
        return self._opened[name]


def _read(options: type[_Options[Options_co]], config: BackendConfig) -> Options_co:
    """Read an adapter's options from its table, with the secrets of the environment."""
    return options.from_url(config.url, **config.secrets, **config.settings)


def _milvus(config: BackendConfig, kind: str) -> MilvusOptions:
    """Return the options of the vectors' collection, or of the one of a kind beside it.

    Hashes are indexed in the same way whatever was chosen for vectors (ADR 0028).
    """
    from lookalike.adapters.vectors_milvus_options import MilvusOptions

    options = _read(MilvusOptions, config)
    if not kind:
        return options
    beside = replace(options, collection=f"{options.collection}_{kind}")
    if kind != HASHES:
        return beside
    return replace(beside, index_type="IVF_FLAT", nlist=HASH_NLIST, nprobe=HASH_NPROBE)


def _pinecone(config: BackendConfig, kind: str) -> PineconeOptions:
    """Return the options of the vectors' namespace, or of the one of a kind beside it.

    All vectors of an index are of one length, so that hashes have an index of their own. Its host
    is another one: the control plane is asked for it.
    """
    from lookalike.adapters.vectors_pinecone_options import PineconeOptions

    options = _read(PineconeOptions, config)
    if not kind:
        return options
    if kind == HASHES:
        return replace(options, index=f"{options.index}-{kind}", host="")
    return replace(options, namespace=f"{options.namespace}-{kind}")
