"""Fusion models: their arithmetic, and files that are damaged or foreign."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.domain.errors import FusionModelError
from lookalike.domain.fusion import FusionModel, parse_model, render_model

MODEL = FusionModel(
    features=("rrf", "cosine"), centres=(0.5, 0.2), scales=(0.25, 0.1), weights=(1.0, 2.0),
    intercept=-1.0, version=3, parent=2, created=12.0, propensities=(1.0, 0.5),
    facts={"counts": {"answers": 7}},
)  # fmt: skip


def test_a_model_reads_back_from_its_file() -> None:
    assert parse_model(render_model(MODEL), "there") == MODEL
    assert MODEL.name == "fusion-000003"


def test_the_score_is_the_sum_of_the_shares() -> None:
    values = np.array([[0.75, 0.3], [0.5, np.nan]])
    np.testing.assert_allclose(MODEL.shares(values), [[1.0, 2.0], [0.0, 0.0]])
    np.testing.assert_allclose(MODEL.score(values), [2.0, -1.0])


def _changed(**changes: object) -> bytes:
    return json.dumps(MODEL.to_json() | changes).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000, b"x" * (2 << 20),
        _changed(kind="another"), _changed(format=2), _changed(format="1"), _changed(version=0),
        _changed(features={}), _changed(features={"rrf": {"weight": 1, "centre": 0, "scale": 0}}),
        _changed(features={"smell": {"weight": 1, "centre": 0, "scale": 1}}),
        _changed(features={"rrf": {"weight": "1", "centre": 0, "scale": 1}}),
        _changed(features=[1]), _changed(intercept=True), _changed(objective="listwise"),
        _changed(propensities=[0.0]), _changed(facts=3), _changed(parent=-1),
        json.dumps(MODEL.to_json() | {"intercept": float("nan")}).encode(),
    ],
)  # fmt: skip
def test_a_damaged_or_foreign_file_is_refused(data: bytes) -> None:
    with pytest.raises(FusionModelError, match="there"):
        parse_model(data, "there")


@given(st.binary(max_size=300))
def test_any_bytes_give_a_model_or_our_error(data: bytes) -> None:
    with pytest.raises(FusionModelError):
        parse_model(data, "there")


@given(st.integers(0, 500), st.integers(0, 255))
def test_a_file_with_a_changed_byte_gives_a_model_or_our_error(at: int, byte: int) -> None:
    data = bytearray(render_model(MODEL))
    data[at % len(data)] = byte
    try:
        model = parse_model(bytes(data), "there")
    except FusionModelError:
        return
    assert np.isfinite(model.score(np.zeros((2, len(model.features))))).all()


def test_an_infinite_weight_cannot_be_written() -> None:
    with pytest.raises(ValueError):
        render_model(replace(MODEL, intercept=float("inf")))
