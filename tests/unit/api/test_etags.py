"""ETags and the preconditions that name them."""

import pytest
from fastapi import Request

from services.api.etags import answer_unless_known, check_if_match, etag
from services.api.health import LiveView
from services.api.problems import Refusal

TAG = etag("client", 1)


def request_with(*headers: tuple[str, str]) -> Request:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    return Request({"type": "http", "method": "PATCH", "path": "/", "headers": raw, "query_string": b""})


def test_equal_states_have_equal_tags_and_others_have_others() -> None:
    assert etag("client", 1) == TAG
    assert TAG not in (etag("client", 2), etag("mailing", 1), etag("client", "1"))
    assert TAG[0] == TAG[-1] == '"'


@pytest.mark.parametrize("value", [TAG, f'"other", {TAG}', f"{TAG},", "*", " * "])
def test_if_match_that_names_the_tag_lets_the_change_pass(value: str) -> None:
    check_if_match(request_with(("if-match", value)), TAG)


def test_without_if_match_every_change_passes() -> None:
    check_if_match(request_with(), TAG)
    check_if_match(request_with(("if-match", '"other"'), ("if-match", TAG)), TAG)


@pytest.mark.parametrize("value", ['"other"', f"W/{TAG}", "nonsense", "", '"', "\xff\xfe", TAG.strip('"'), "W/*", "**"])
def test_if_match_that_does_not_name_the_tag_is_412(value: str) -> None:
    with pytest.raises(Refusal) as refused:
        check_if_match(request_with(("if-match", value)), TAG)
    assert (refused.value.status_code, refused.value.code) == (412, "precondition_failed")


@pytest.mark.parametrize(
    ("value", "status"), [(TAG, 304), (f"W/{TAG}", 304), ("*", 304), ('"other"', 200), ("nonsense", 200)]
)
def test_what_the_client_knows_already_is_not_sent_again(value: str, status: int) -> None:
    response = answer_unless_known(request_with(("if-none-match", value)), LiveView(), TAG)
    assert (response.status_code, response.headers["etag"]) == (status, TAG)
    assert (response.body == b"") == (status == 304)
