"""Milvus unreachable, hanging, empty, or full of something else: our errors, in time."""

import dataclasses
import socket
import time

import numpy as np
import pytest

from lookalike.adapters.vectors_milvus import MilvusVectorIndex
from lookalike.adapters.vectors_milvus_client import MilvusLink
from lookalike.adapters.vectors_milvus_options import MilvusOptions
from lookalike.adapters.vectors_milvus_provision import MilvusProvisioner
from lookalike.domain.errors import (
    BackendMissingError,
    BackendSchemaError,
    BackendTimeoutError,
    BackendUnreachableError,
    StoreError,
)
from services import run
from tests.vector_servers import drop_collection, milvus_options

pytestmark = pytest.mark.service

DIM = 8
QUERY = np.eye(1, DIM, dtype=np.float32)


@pytest.fixture(scope="module")
def made():
    options = milvus_options("faults", timeout_s=1.0)
    provisioner = MilvusProvisioner(options, dim=DIM)
    assert provisioner.prepare()
    assert not provisioner.prepare(), "the second time nothing is made"
    yield options
    drop_collection(options)


def test_nothing_there_is_told_within_the_deadline():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = MilvusOptions.from_url(f"milvus://127.0.0.1:{port}/x", connect_timeout_s=1.0)
    begin = time.monotonic()
    with pytest.raises(BackendUnreachableError, match=f"milvus://127.0.0.1:{port}/x"):
        MilvusVectorIndex.open(options, dim=DIM)
    assert time.monotonic() - begin < 4
    (finding,) = MilvusProvisioner(options, dim=DIM).check()
    assert finding.state == "error"
    assert finding.remedy


def test_something_silent_there_is_told_within_the_deadline():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        options = MilvusOptions.from_url(f"milvus://127.0.0.1:{port}/x", connect_timeout_s=1.0)
        begin = time.monotonic()
        with pytest.raises((BackendUnreachableError, BackendTimeoutError)):
            MilvusVectorIndex.open(options, dim=DIM)
        assert time.monotonic() - begin < 4


@pytest.mark.outage
def test_a_hanging_server_times_out_and_is_used_again(made):
    index = MilvusVectorIndex.open(made, dim=DIM)
    index.add(np.array([3]), QUERY)
    assert index.search(QUERY, k=1).rows.tolist() == [[3]]
    run.pause("milvus")
    try:
        begin = time.monotonic()
        with pytest.raises(BackendTimeoutError):
            index.search(QUERY, k=1)
        assert time.monotonic() - begin < 2.5
    finally:
        run.resume("milvus")
    deadline = time.monotonic() + 20
    while True:
        try:
            assert index.search(QUERY, k=1).rows.tolist() == [[3]]
            break
        except BackendTimeoutError:
            assert time.monotonic() < deadline
    index.close()


def test_a_collection_that_was_not_made_or_went_away_is_missing(made):
    options = dataclasses.replace(made, collection="test_never_made")
    with pytest.raises(BackendMissingError) as caught:
        MilvusVectorIndex.open(options, dim=DIM)
    assert "init-cluster" in caught.value.hint
    assert MilvusProvisioner(options, dim=DIM).check()[-1].remedy == caught.value.hint
    options = dataclasses.replace(made, collection=made.collection + "_gone")
    MilvusProvisioner(options, dim=DIM).prepare()
    index = MilvusVectorIndex.open(options, dim=DIM)
    drop_collection(options)
    with pytest.raises(BackendMissingError):
        index.search(QUERY, k=1)
    with pytest.raises(StoreError):
        index.add(np.array([3]), QUERY)
    index.close()


def test_another_dimension_or_other_fields_are_refused(made):
    for again in (MilvusVectorIndex.open, MilvusProvisioner):
        with pytest.raises(BackendSchemaError, match="8 numbers, the encoder makes 9"):
            found = again(made, dim=9)
            found.prepare()
    foreign = dataclasses.replace(made, collection=made.collection + "_foreign", timeout_s=20.0)
    link = MilvusLink(foreign)
    link.call("create_collection", foreign.collection, dimension=DIM)
    try:
        with pytest.raises(BackendSchemaError, match="terms"):
            MilvusVectorIndex.open(foreign, dim=DIM)
        assert MilvusProvisioner(foreign, dim=DIM).check()[-1].state == "error"
    finally:
        drop_collection(foreign)
        link.close()


def test_a_collection_that_is_not_loaded_is_found_and_loaded(made):
    link = MilvusLink(dataclasses.replace(made, timeout_s=20.0))
    link.call("release_collection", made.collection)
    assert MilvusProvisioner(made, dim=DIM).check()[-1].name == "vectors loaded"
    with pytest.raises(BackendMissingError):
        link.read("query", filter="row >= 0", output_fields=["row"])
    MilvusVectorIndex.open(made, dim=DIM).close()
    assert MilvusProvisioner(made, dim=DIM).check()[-1].state == "ok"
    link.close()


def test_a_setting_that_differs_from_the_index_is_a_warning(made):
    other = dataclasses.replace(made, index_type="HNSW")
    states = {one.name: one.state for one in MilvusProvisioner(other, dim=DIM).check()}
    assert states["vectors index"] == "warning"
