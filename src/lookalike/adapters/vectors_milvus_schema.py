"""The collection that pictures' vectors stand in: how it is made, and whether one is ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lookalike.adapters.vectors_milvus_client import MISSING_HINT
from lookalike.adapters.vectors_milvus_filter import DESCRIBED, MOST_TERM_BYTES, MOST_TERMS, TERMS
from lookalike.domain.errors import (
    BackendMissingError,
    BackendSchemaError,
    BackendVersionError,
)
from lookalike.domain.filters import NUMBER_FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lookalike.adapters.vectors_milvus_client import MilvusLink
    from lookalike.adapters.vectors_milvus_options import MilvusOptions

ROW: Final = "row"
VECTOR: Final = "vector"
METRIC: Final = "IP"
DESCRIPTION: Final = "lookalike vectors 1"
OLDEST: Final = (2, 3)

INDEXED_ROWS: Final = 1024
"""A sealed segment below that is searched without an index."""

_TYPES: Final[Mapping[str, str]] = {
    ROW: "INT64",
    VECTOR: "FLOAT_VECTOR",
    DESCRIBED: "BOOL",
    TERMS: "ARRAY",
    **dict.fromkeys(NUMBER_FIELDS, "DOUBLE"),
}


@dataclass(frozen=True, slots=True)
class MilvusIndex:
    """How the server says a collection is indexed."""

    kind: str
    cells: int

    @property
    def is_exact(self) -> bool:
        """Whether the scores it gives are those of the vectors themselves, not of codes."""
        return self.kind in {"IVF_FLAT", "HNSW", "SCANN"}

    def candidates(self, k: int, options: MilvusOptions) -> int:
        """Return how many candidates to ask for, so that the best k are among them."""
        if self.kind == "IVF_PQ":
            return max(k + 1, int(k * options.refine), options.least_refine)
        # Scores of one byte a number are off by a thousandth, exact ones not at all.
        return k + (max(10, k // 10) if self.kind == "IVF_SQ8" else 1)

    def search_params(self, options: MilvusOptions, *, nprobe: int, limit: int) -> dict[str, int]:
        """Return what a search tells the index; no more cells than there are."""
        if self.kind == "HNSW":
            return {"ef": max(options.ef, limit)}
        params = {"nprobe": max(1, min(nprobe, self.cells))}
        return params | ({"reorder_k": limit} if self.kind == "SCANN" else {})


def index_params(options: MilvusOptions, dim: int) -> dict[str, int | str]:
    """Return what an index is built with."""
    if options.index_type == "HNSW":
        return {"M": options.hnsw_m, "efConstruction": 200}
    params: dict[str, int | str] = {"nlist": options.nlist}
    if options.index_type == "IVF_PQ":
        params |= {"m": options.pq_m or pq_parts(dim), "nbits": options.pq_bits}
    if options.index_type == "SCANN":
        params["with_raw_data"] = "true"  # True would be sent as a word that 2.3 cannot read
    return params


def pq_parts(dim: int) -> int:
    """Return the divisor of the dimension nearest to an eighth of it: 112 parts of 896."""
    divisors = [part for part in range(1, dim + 1) if dim % part == 0]
    return min(divisors, key=lambda part: (abs(part - dim / 8), part))


def create_collection(link: MilvusLink, dim: int) -> None:
    """Make the collection with its index and load it."""
    from pymilvus import DataType, MilvusClient

    options = link.options
    schema: Any = MilvusClient.create_schema(
        auto_id=False, enable_dynamic_field=False, description=DESCRIPTION
    )
    schema.add_field(ROW, DataType.INT64, is_primary=True)
    schema.add_field(VECTOR, DataType.FLOAT_VECTOR, dim=dim)
    schema.add_field(DESCRIBED, DataType.BOOL)
    schema.add_field(
        TERMS,
        DataType.ARRAY,
        element_type=DataType.VARCHAR,
        max_capacity=MOST_TERMS,
        max_length=MOST_TERM_BYTES,
    )
    for name in NUMBER_FIELDS:
        schema.add_field(name, DataType.DOUBLE)
    link.call(
        "create_collection",
        options.collection,
        schema=schema,
        consistency_level=options.consistency,
        timeout_s=_patient(options),
    )


def create_index(link: MilvusLink, dim: int) -> None:
    """Say how the vectors of the collection are to be indexed."""
    from pymilvus import MilvusClient

    options = link.options
    index: Any = MilvusClient.prepare_index_params()
    index.add_index(
        VECTOR,
        index_type=options.index_type,
        metric_type=METRIC,
        params=index_params(options, dim),
    )
    link.call("create_index", options.collection, index, timeout_s=_patient(options))


def load_collection(link: MilvusLink) -> None:
    """Bring the collection into the memory of the query nodes."""
    options = link.options
    link.call(
        "load_collection",
        options.collection,
        replica_number=options.replicas,
        timeout_s=_patient(options),
    )


def is_loaded(link: MilvusLink) -> bool:
    """Tell whether searches can be answered."""
    state = link.call("get_load_state", link.options.collection)["state"]
    return str(getattr(state, "name", state)) == "Loaded"


def check_version(link: MilvusLink) -> str:
    """Return the server's version.

    Raises:
        BackendVersionError: it is too old.
    """
    version = str(link.call("get_server_version"))
    numbers = version.lstrip("v").split("-")[0].split(".")
    known = tuple(int(number) for number in numbers[:2] if number.isdigit())
    if len(known) == 2 and known < OLDEST:
        raise BackendVersionError(
            link.options.name, f"it is version {version}", hint="Milvus 2.3 or newer is needed"
        )
    return version


def check_collection(link: MilvusLink, dim: int) -> None:
    """Look whether the collection is there and ours.

    Raises:
        BackendMissingError: there is none.
        BackendSchemaError: it has another dimension or other fields.
    """
    options = link.options
    if not link.call("has_collection", options.collection):
        raise BackendMissingError(options.name, "there is no such collection", hint=MISSING_HINT)
    shape = link.call("describe_collection", options.collection)
    found = {one["name"]: one for one in shape["fields"]}
    types = {name: str(getattr(one["type"], "name", one["type"])) for name, one in found.items()}
    wrong = sorted(name for name in _TYPES if types.get(name) != _TYPES[name])
    if wrong:
        raise BackendSchemaError(
            options.name,
            f"the collection is not of this version of Lookalike: {', '.join(wrong)}",
            hint="name another collection, or drop this one if it is yours",
        )
    here = int(found[VECTOR]["params"]["dim"])
    if here != dim:
        raise BackendSchemaError(
            options.name,
            f"the collection holds vectors of {here} numbers, the encoder makes {dim}",
            hint="use the encoder that filled it, or name another collection",
        )


def read_index(link: MilvusLink) -> MilvusIndex:
    """Return how the collection is indexed, in the server's words.

    Raises:
        BackendMissingError: it has no index.
        BackendSchemaError: it has one for another metric.
    """
    options = link.options
    found = _describe_index(link)
    if not found:
        raise BackendMissingError(options.name, "the collection has no index", hint=MISSING_HINT)
    if found["metric_type"] != METRIC:
        raise BackendSchemaError(
            options.name,
            f"the collection is indexed for {found['metric_type']}, not for {METRIC}",
            hint="drop the index, then: " + MISSING_HINT,
        )
    return MilvusIndex(str(found["index_type"]), int(found.get("nlist", options.nlist)))


def indexed_rows(link: MilvusLink) -> int:
    """Return how many rows the query nodes really search through an index.

    The server's count of indexed rows is not to be had for this: it takes in segments that are
    too small to have one, and rows that were replaced since. A loaded segment with an index
    names it.
    """
    return sum(_indexed_segments(link).values())


def unindexed_rows(link: MilvusLink) -> int:
    """Return how many sealed rows should be searched through an index and are not yet."""
    indexed = _indexed_segments(link)
    return sum(
        int(one.num_rows)
        for one in link.call("list_persistent_segments", link.options.collection)
        if int(one.num_rows) >= INDEXED_ROWS and one.segment_id not in indexed
    )


def _indexed_segments(link: MilvusLink) -> dict[int, int]:
    """Return the rows of each segment that is loaded with an index, once for all replicas."""
    loaded = link.call("list_loaded_segments", link.options.collection)
    return {one.segment_id: int(one.num_rows) for one in loaded if one.index_name}


def _describe_index(link: MilvusLink) -> dict[str, Any]:
    names = link.call("list_indexes", link.options.collection, field_name=VECTOR)
    if not names:
        return {}
    return dict(link.call("describe_index", link.options.collection, names[0]) or {})


def _patient(options: MilvusOptions) -> float:
    """Return seconds for calls that make something: they take longer than questions."""
    return max(60.0, options.timeout_s)
