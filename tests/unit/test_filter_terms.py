"""Terms and clauses mean what `domain.filters.matches` says."""

from hypothesis import given, settings

from lookalike.domain.filter_terms import clauses_of, meets, terms_of
from lookalike.domain.filters import Filter, HasObject, OneOf, matches
from tests.filter_cases import FILTERS, RECORDS


@given(record=RECORDS, filter_=FILTERS)
@settings(max_examples=1500)
def test_clauses_agree_with_the_reference(record, filter_):
    assert meets(terms_of(record), clauses_of(filter_)) == matches(record, filter_)


def test_an_empty_filter_has_no_clauses():
    assert clauses_of(Filter()) == ()


@given(record=RECORDS)
def test_a_licence_named_like_a_group_is_not_the_group(record):
    filter_ = Filter((OneOf("licence", frozenset({"cc"})),))
    assert meets(terms_of(record), clauses_of(filter_)) == matches(record, filter_)


@given(record=RECORDS)
def test_impossible_counts_are_met_by_nothing_or_by_all(record):
    for is_negated in (False, True):
        filter_ = Filter((HasObject("cat", 0, -1, is_negated),))
        assert meets(terms_of(record), clauses_of(filter_)) is is_negated
