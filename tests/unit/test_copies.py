"""The judge's words and numbers, without any pixels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.domain.copies import (
    STRICTNESSES,
    Likeness,
    Overlap,
    PairEvidence,
    WholeMatch,
    hash_features,
    hash_turns,
    is_settled,
    judge,
    nearest_turn,
    overlap_features,
    stage_scores,
    strictness_named,
    whole_features,
)
from lookalike.domain.copy_weights import MODELS, THRESHOLDS
from lookalike.domain.errors import UnknownNameError

SAME = Likeness(1.0, 0.995, 0.95, 0.999, 0.9)
OTHER = Likeness(0.05, 0.05, -0.4, 0.3, 0.9)


def overlap(**changed):
    values = {
        "inliers": 150,
        "matches": 170,
        "of_first": 1.0,
        "of_second": 1.0,
        "angle": 0.0,
        "scale": 1.0,
        "squeeze": 1.0,
        "is_mirrored": False,
        "rest": 60.0,
        "likeness": SAME,
    }
    return Overlap(**{**values, **changed})


def evidence(found=None, whole=OTHER, turn=0, **changed):
    return PairEvidence(
        **{"hash_distance": 26, "hash_quality": 0.9, "cosine": 0.8, **changed},
        whole=WholeMatch(turn, 0.3 if whole is OTHER else 0.99, whole),
        overlap=found,
    )


UNRELATED = evidence(cosine=0.6)

unit = st.floats(0, 1)
likenesses = st.builds(
    Likeness, unit, st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1), unit, st.floats(0, 255)
)
wholes = st.builds(WholeMatch, st.integers(0, 7), st.floats(-1, 1), likenesses)
overlaps = st.builds(
    Overlap,
    st.integers(5, 400),
    st.integers(5, 400),
    unit,
    unit,
    st.floats(-180, 180),
    st.floats(0.1, 8),
    st.floats(1, 3),
    st.booleans(),
    st.floats(0, 128),
    likenesses,
)
anything = st.builds(
    PairEvidence,
    st.booleans(),
    st.integers(0, 64),
    st.integers(0, 7),
    unit,
    st.none() | st.floats(-1, 1),
    st.floats(0.01, 100),
    st.none() | wholes,
    st.none() | overlaps,
)


@given(anything)
def test_a_verdict_is_sound_whatever_was_measured(found):
    verdicts = [judge(found, name) for name in STRICTNESSES]
    for verdict in verdicts:
        assert 0 <= verdict.score <= 1
        assert verdict.reason
        assert 0 <= verdict.shown <= 1
        assert (verdict.reason == "different pictures") == (not verdict.is_copy)
    strict, balanced, lenient = (verdict.is_copy for verdict in verdicts)
    assert strict <= balanced <= lenient


@given(anything)
def test_what_is_settled_is_a_copy(found):
    for name in STRICTNESSES:
        if is_settled(found, name):
            assert judge(found, name).is_copy


def test_same_bytes_need_no_more():
    verdict = judge(PairEvidence(is_same_bytes=True), "strict")
    assert (verdict.is_copy, verdict.reason, verdict.score) == (True, "same bytes", 1.0)


def test_unrelated_pictures_are_no_copies_for_anybody():
    assert not judge(UNRELATED, "lenient").is_copy
    assert not judge(
        PairEvidence(hash_distance=30, hash_quality=0.9, cosine=0.4), "lenient"
    ).is_copy


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (evidence(whole=SAME), "same picture, encoded anew"),
        (evidence(whole=SAME, scale=0.25), "same picture, resized"),
        (evidence(whole=SAME, turn=4), "same picture, mirrored"),
        (evidence(whole=SAME, turn=3), "same picture, turned by 90°"),
        (evidence(whole=SAME, turn=6), "same picture, mirrored, turned by 180°"),
        (evidence(overlap(of_second=0.62)), "same picture, cropped to 62 %"),
        (evidence(overlap(of_first=0.62)), "same picture, cropped to 62 %"),
        (evidence(overlap(of_first=0.7, rest=1.0)), "same picture, with a border"),
        (evidence(overlap(angle=5.2)), "same picture, turned by 5°"),
        (evidence(overlap(is_mirrored=True)), "same picture, mirrored"),
        (evidence(overlap(of_first=0.8, of_second=0.7)), "same picture, 70 % in common"),
    ],
)
def test_a_reason_says_what_was_done(found, reason):
    verdict = judge(found, "lenient")
    assert verdict.is_copy
    assert verdict.reason == reason


def test_colours_light_and_covers_are_told():
    grey = Likeness(1.0, 0.995, 0.95, 0.999, 0.9, recolouring=40)
    dark = Likeness(1.0, 0.995, 0.95, 0.999, 0.9, lightening=-50)
    captioned = Likeness(0.85, 0.995, 0.3, 0.999, 0.9)
    assert judge(evidence(whole=grey), "lenient").reason == "same picture, recoloured"
    assert judge(evidence(whole=dark), "lenient").reason == "same picture, darkened"
    assert judge(evidence(overlap(likeness=captioned)), "lenient").reason == (
        "same picture, partly covered"
    )


def test_a_verdict_tells_which_of_two_shows_more():
    crop = judge(evidence(overlap(of_second=0.4)), "balanced")
    assert (crop.larger, crop.shown, crop.is_bordered) == (1, 0.4, False)
    framed = judge(evidence(overlap(of_first=0.7, rest=0.5)), "balanced")
    assert (framed.larger, framed.shown, framed.is_bordered) == (0, 0.7, True)
    assert judge(evidence(whole=SAME), "balanced").larger == -1


def test_another_shot_of_the_scene_is_no_copy():
    burst = Likeness(0.58, 0.82, 0.17, 0.93, 0.9)
    found = evidence(
        overlap(inliers=59, matches=108, of_first=0.98, of_second=0.9, likeness=burst),
        cosine=0.917,
        hash_distance=12,
    )
    assert not judge(found, "strict").is_copy
    assert not judge(found, "balanced").is_copy


def test_without_pixels_hashes_and_embedding_decide():
    near = PairEvidence(hash_distance=2, hash_quality=0.9, cosine=0.98)
    assert judge(near, "balanced").is_copy
    assert judge(near, "balanced").stage == "hash"
    vague = PairEvidence(hash_distance=2, hash_quality=0.05, cosine=0.7)
    assert not judge(vague, "balanced").is_copy


def test_pixels_overrule_hashes():
    found = evidence(hash_distance=0, cosine=0.99)
    assert stage_scores(found)["hash"] == 0
    assert not judge(evidence(hash_distance=3, cosine=0.9), "balanced").is_copy


def test_every_measurement_has_a_weight_and_every_strictness_its_thresholds():
    full = evidence(overlap())
    assert set(MODELS["hash"]) == {*hash_features(full), "bias"}
    assert set(MODELS["whole"]) == {*whole_features(full), "bias"}
    assert set(MODELS["overlap"]) == {*overlap_features(full), "bias"}
    for stage in ("hash", "whole", "overlap"):
        strict, balanced, lenient = (THRESHOLDS[name][stage] for name in STRICTNESSES)
        assert strict >= balanced >= lenient > 0


def test_an_unknown_strictness_names_the_known_ones():
    with pytest.raises(UnknownNameError) as error:
        strictness_named("ballanced")
    assert "balanced" in error.value.hint


@given(st.integers(0, 2**64 - 1), st.integers(0, 7))
def test_turning_a_hash_keeps_its_bits_and_is_undone(bits, turn):
    turns = hash_turns(bits)
    assert turns[0] == bits
    back = {0: 0, 1: 3, 2: 2, 3: 1}.get(turn, turn)
    assert hash_turns(turns[turn])[back] == bits
    assert nearest_turn(bits, turns[turn])[0] == 0
