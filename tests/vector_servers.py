"""Vector servers for tests: an emptied namespace for each test, masks said as filters."""

import itertools
import os
import random
from dataclasses import dataclass, field

import numpy as np

from lookalike.adapters.vectors_milvus import MilvusVectorIndex
from lookalike.adapters.vectors_milvus_options import MilvusOptions
from lookalike.adapters.vectors_milvus_provision import MilvusProvisioner
from lookalike.adapters.vectors_pinecone import PineconeVectorIndex
from lookalike.adapters.vectors_pinecone_options import PineconeOptions
from lookalike.adapters.vectors_pinecone_provision import PineconeProvisioner
from lookalike.domain.filter_terms import FilterTerms, terms_of
from lookalike.domain.filters import NUMBER_FIELDS, Filter, OneOf
from lookalike.domain.hits import Selection
from lookalike.domain.images import (
    COLOR_NAMES,
    KINDS,
    ImageFacts,
    ImageRecord,
    Source,
    hashed_row,
    image_id,
)
from tests.filter_cases import LABELS, LICENCES, SITES, objects
from tests.pinecone_server import KEY, PineconeServer
from tests.real_services import need

NONE = np.zeros(0, np.int64)
NO_NUMBERS = dict.fromkeys(NUMBER_FIELDS, 0.0)
DIM = 24


def own_term(row):
    """Terms by which a filter can name one row."""
    return FilterTerms(frozenset({f"site:r{row}"}), NO_NUMBERS)


class NamingIndex:
    """An index whose rows each bear a term of their own, so that a mask can become a filter."""

    def __init__(self, index):
        self._index = index

    def __getattr__(self, name):
        return getattr(self._index, name)

    def __len__(self):
        return len(self._index)

    def add(self, rows, vectors, terms=None):
        self._index.add(rows, vectors, [own_term(row) for row in rows.tolist()])


@dataclass
class ServerBackEnd:
    """What the contract test asks of a back end, for one that compiles filters itself."""

    kind: str
    is_server = True
    is_sealed = False
    opened: list = field(default_factory=list)

    def open(self, folder, *, rows=0, removed=NONE, is_writer=True):
        index = self.connect()
        self.opened.append(index)
        index.remove(removed)
        return NamingIndex(index)

    def filled(self, folder, vectors, *, rows=None):
        index = self.open(folder)
        rows = np.arange(len(vectors)) if rows is None else rows
        index.add(rows, vectors)
        index.flush()
        index.refresh(int(rows.max(initial=-1)) + 1)
        return index

    def select(self, mask):
        names = frozenset(f"r{row}" for row in np.flatnonzero(mask).tolist())
        return Selection(Filter((OneOf("site", names),)))

    def close(self):
        for index in self.opened:
            index.close()
        self.opened.clear()


class MilvusBackEnd(ServerBackEnd):
    """One collection, made once, and emptied before each test: making one takes seconds."""

    def __init__(self, index_type="IVF_SQ8", dim=DIM):
        super().__init__(f"milvus {index_type.lower()}")
        self.index_type = index_type
        self.dim = dim
        self.options = None

    def begin(self):
        if self.options is None:
            self.options = milvus_options("contract", index_type=self.index_type)
            MilvusProvisioner(self.options, dim=self.dim).prepare()
        empty_collection(self.options)

    def connect(self):
        return MilvusVectorIndex.open(self.options, dim=self.dim)

    def end(self):
        self.close()
        if self.options is not None:
            drop_collection(self.options)
            self.options = None


class PineconeBackEnd(ServerBackEnd):
    """A namespace of its own for each test, on the tests' own server: it is no live service."""

    def __init__(self, dim=DIM):
        super().__init__("pinecone")
        self.dim = dim
        self.server = None

    def begin(self):
        if self.server is None:
            self.server = PineconeServer()
        self.options = pinecone_options(self.server)
        PineconeProvisioner(self.options, dim=self.dim).prepare()

    def connect(self):
        return PineconeVectorIndex.open(self.options, dim=self.dim)

    def end(self):
        self.close()
        if self.server is not None:
            self.server.close()
            self.server = None


_numbers = itertools.count()


def pinecone_options(server, **settings):
    url = f"pinecone://pictures/n{next(_numbers)}"
    return PineconeOptions.from_url(url, api_key=KEY, control_host=server.url, **settings)


def milvus_options(name, **settings):
    """Return options for a collection of its own on the running server."""
    url = f"{need('milvus')}/test_{name}_{os.getpid()}_{next(_numbers)}"
    return MilvusOptions.from_url(url, **settings)


def milvus_client(options):
    from lookalike.adapters.vectors_milvus_client import MilvusLink

    return MilvusLink(options)


def empty_collection(options):
    link = milvus_client(options)
    found = link.call(
        "query", options.collection, filter="row >= 0", output_fields=["row"],
        consistency_level="Strong", limit=16_000,
    )  # fmt: skip
    if found:
        link.write("delete", ids=[one["row"] for one in found])
    link.close()


def drop_collection(options):
    link = milvus_client(options)
    link.call("drop_collection", options.collection)
    link.close()


def described_population(count=150, seed=3):
    """Return the terms of records that have a little of everything, by rows as in a cluster."""
    draw = random.Random(seed)
    sides = [0, 1, 90, 100, 109, 110, 111, 128, 200, 500, 2000, 65535]
    times = [-1.0, 0.0, 0.5, 1e9, 1.7e9]

    def source(number):
        return Source(
            uri=f"/{number}",
            site=draw.choice(SITES),
            licence=draw.choice(LICENCES),
            taken=draw.choice([None, *times]),
        )

    found = {}
    for number in range(count):
        image = image_id(str(number).encode())
        facts = ImageFacts(
            id=image,
            width=draw.choice(sides),
            height=draw.choice(sides),
            bytes=draw.choice([0, 1, 1000, 2**40]),
            format="png",
            kind=draw.choice([*KINDS, "odd"]),
            is_animated=draw.random() < 0.5,
            is_transparent=draw.random() < 0.5,
            taken=draw.choice([None, *times]),
            color_tags=tuple(draw.sample([*COLOR_NAMES, "odd"], draw.randrange(4))),
            licence=draw.choice(LICENCES),
        )
        record = ImageRecord(
            row=hashed_row(image),
            facts=facts,
            sources=tuple(source(at) for at in range(draw.randrange(3))),
            objects=objects(draw.choices(LABELS, k=draw.randrange(5))),
            first_seen=draw.choice(times),
        )
        found[record.row] = terms_of(record)
    return found
