"""Whom a mailing is for: the filter against one that was written out by hand, and what an audience must say."""

from datetime import UTC, datetime
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.audience import Audience, check_audience
from shared.domain.client import Client
from shared.errors import InvalidInput

CODES = st.lists(st.sampled_from(("900", "901", "999")), max_size=3)
TAGS = st.lists(st.sampled_from(("vip", "new", "VIP", "vi")), max_size=3)
OPTED_OUT = st.sampled_from((None, datetime(2026, 3, 1, tzinfo=UTC)))


def a_client(code: str, tags: list[str], opted_out_at: datetime | None = None) -> Client:
    return Client(1, f"7{code}1234567", code, tuple(dict.fromkeys(tags)), "Europe/Moscow", opted_out_at=opted_out_at)


@given(CODES, TAGS, st.booleans(), st.sampled_from(("900", "901", "902")), TAGS, OPTED_OUT)
def test_a_client_belongs_by_any_of_the_codes_and_any_of_the_tags(
    codes: list[str], tags: list[str], everyone: bool, code: str, own_tags: list[str], opted_out_at: datetime | None
) -> None:
    # Given every pair of a code and a tag that the filter lets in, None standing for a list that was left out
    let_in = set(product(codes or (None,), tags or (None,)))
    if not codes and not tags and not everyone:
        let_in = set()

    # When a client is asked about, then they belong if one of their own pairs is among them
    client = a_client(code, own_tags, opted_out_at)
    own = set(product((code, None), (*own_tags, None)))
    belongs = opted_out_at is None and bool(own & let_in)
    assert Audience(tuple(codes), tuple(tags), everyone).includes(client) is belongs


def test_a_filter_that_was_forgotten_reaches_nobody() -> None:
    assert not Audience().includes(a_client("900", ["vip"]))
    assert Audience(everyone=True).includes(a_client("900", []))


def test_everyone_is_everyone_who_did_not_opt_out() -> None:
    assert not Audience(everyone=True).includes(a_client("900", [], datetime(2026, 3, 1, tzinfo=UTC)))


@given(CODES, TAGS, st.booleans())
def test_an_audience_names_a_filter_or_says_everyone_and_never_both(
    codes: list[str], tags: list[str], everyone: bool
) -> None:
    if bool(codes or tags) is everyone:
        with pytest.raises(InvalidInput) as refused:
            check_audience(codes, tags, everyone=everyone)
        assert refused.value.field == ("audience/everyone" if everyone else "audience")
    else:
        audience = check_audience(iter(codes), iter(tags), everyone=everyone)
        assert audience == Audience(tuple(dict.fromkeys(codes)), tuple(dict.fromkeys(tags)), everyone)


@pytest.mark.parametrize(
    ("codes", "tags", "field"),
    [
        (["90"], [], "audience/operator_codes/0"),
        (["900", "900", "9000"], [], "audience/operator_codes/2"),
        (["900", "9٠0"], ["vip"], "audience/operator_codes/1"),
        (["900\n"], [], "audience/operator_codes/0"),
        ([], ["vip", "vip", " "], "audience/tags/2"),
        (["900"], ["v\0ip"], "audience/tags/0"),
        ([], ["\ud800"], "audience/tags/0"),
        ([], ["t" * 101], "audience/tags/0"),
        ([], [f"tag-{number}" for number in range(101)], "audience/tags"),
        (["900"] * 1_001, [], "audience/operator_codes"),
    ],
)
def test_a_malformed_filter_is_named_by_its_place(codes: list[str], tags: list[str], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_audience(codes, tags, everyone=False)
    assert refused.value.field == field


def test_a_filter_may_name_every_code_there_is() -> None:
    codes = [f"{code:03}" for code in range(1_000)]
    assert check_audience(codes, [], everyone=False).operator_codes == tuple(codes)
