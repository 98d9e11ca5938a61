"""Pages and their cursors."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.api.identifiers import LARGEST_ID
from services.api.paging import DEFAULT_LIMIT, MAX_LIMIT, PageQuery, cut, decode_cursor, encode_cursor, id_after
from services.api.problems import Refusal


def cursor_of(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@given(st.integers(1, LARGEST_ID), st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_a_cursor_leads_back_to_its_place(mailing_id: int, reason: str) -> None:
    place = {"mailing_id": mailing_id, "reason": reason}
    assert decode_cursor(encode_cursor(place), mailing_id=int, reason=str) == place


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "%%%",
        "=",
        "a=",
        "\0",
        "é",
        cursor_of("{}"),
        cursor_of("[]"),
        cursor_of("null"),
        cursor_of("1"),
        cursor_of("[" * 2_000),
        cursor_of('{"id": 0}'),
        cursor_of('{"id": -1}'),
        cursor_of('{"id": 1.0}'),
        cursor_of('{"id": true}'),
        cursor_of('{"id": "1"}'),
        cursor_of('{"id": null}'),
        cursor_of('{"id": {"$gt": 0}}'),
        cursor_of(f'{{"id": {LARGEST_ID + 1}}}'),
        cursor_of('{"id": 1, "more": 1}'),
        cursor_of('{"reason": "x", "mailing_id": 1}'),
    ],
)
def test_a_cursor_that_is_nonsense_is_refused(cursor: str) -> None:
    with pytest.raises(Refusal) as refused:
        decode_cursor(cursor, id=int)
    assert (refused.value.status_code, refused.value.code) == (422, "invalid_cursor")
    assert refused.value.flaws[0].pointer == "/cursor"


@given(st.text(max_size=60))
def test_no_text_at_all_breaks_the_reading_of_a_cursor(text: str) -> None:
    try:
        assert set(decode_cursor(text, id=int)) == {"id"}
    except Refusal as refused:
        assert refused.code == "invalid_cursor"


def test_without_a_cursor_a_page_begins_at_the_beginning() -> None:
    query = PageQuery.model_validate({})
    assert (query.limit, id_after(query)) == (DEFAULT_LIMIT, None)
    assert id_after(PageQuery.model_validate({"cursor": encode_cursor({"id": 7})})) == 7


@pytest.mark.parametrize("limit", ["0", "501", "-1", "+1", " 1", "1.0", "1e2", "1_0", "٣", "", "x", "9" * 5_000])
def test_a_limit_out_of_bounds_or_in_other_writing_is_refused(limit: str) -> None:
    with pytest.raises(ValidationError):
        PageQuery.model_validate({"limit": limit})


@pytest.mark.parametrize(("found", "items", "last"), [([], [], None), ([1, 2], [1, 2], None), ([1, 2, 3], [1, 2], 2)])
def test_one_item_more_than_asked_for_tells_that_there_is_another_page(
    found: list[int], items: list[int], last: int | None
) -> None:
    assert cut(found, 2) == (items, last)
    assert MAX_LIMIT == 500
