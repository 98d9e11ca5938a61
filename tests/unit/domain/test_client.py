"""Fields of a client: what is taken, what is refused, and how the refusal names its place."""

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.domain.client import (
    DEFAULT_TIMEZONE,
    check_attributes,
    check_operator_code,
    check_phone,
    check_tags,
    check_text,
    check_timezone,
    mask_phone,
    operator_code_of,
    zone,
)
from shared.errors import InvalidInput
from tests.unit.domain.zones import ZONES

NOT_STORABLE = ["\0", "a\0", "\ud800", "a\udbff", "\udc00a", "\udfff"]
ASCII_DIGITS = "0123456789"


def refusal(check: Callable[[], object]) -> InvalidInput:
    with pytest.raises(InvalidInput) as refused:
        check()
    return refused.value


@given(st.text(ASCII_DIGITS, min_size=10, max_size=10))
def test_a_phone_is_seven_and_ten_digits(digits: str) -> None:
    phone = "7" + digits
    assert check_phone(phone) == phone
    assert check_operator_code(operator_code_of(phone)) == digits[:3]


@given(st.text(st.characters(), max_size=13) | st.text("7٧0۰０+- \n", max_size=13))
@example("7900123456")
@example("790012345678")
@example("89001234567")
@example("79001234567\n")
@example("\n79001234567")
@example("79001234567 ")
@example("+79001234567")
@example("7900123456a")
@example("7900123456٧")
@example("７9001234567")
@example("7900123456²")
@example("7900123456\0")
@example("7900123456\ud800")
@example("")
def test_nothing_else_is_a_phone(text: str) -> None:
    if len(text) == 11 and text[0] == "7" and all(digit in ASCII_DIGITS for digit in text):
        assert check_phone(text) == text
    else:
        assert refusal(lambda: check_phone(text)).field == "phone"


@pytest.mark.parametrize("code", ["", "90", "9000", "90a", "900\n", " 900", "٩٠٠", "-90", "9.0", "\ud800", "900900"])
def test_an_operator_code_is_three_digits(code: str) -> None:
    assert refusal(lambda: check_operator_code(code)).field == "operator_code"
    assert refusal(lambda: check_operator_code(code, "audience/operator_codes/3")).field == "audience/operator_codes/3"


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")).filter(str.strip)))
def test_tags_keep_their_order_and_lose_their_repetitions(tags: list[str]) -> None:
    unique: list[str] = []
    for tag in tags:
        if tag not in unique:
            unique.append(tag)
    assert check_tags(iter(tags)) == tuple(unique)


@pytest.mark.parametrize("wrong", ["", " ", "\t\n", "\u00a0\u2003", "t" * 101, *NOT_STORABLE])
@pytest.mark.parametrize("before", [[], ["vip"], ["vip", "vip", "new", "vip"]])
def test_a_wrong_tag_is_named_by_its_place_in_what_was_given(wrong: str, before: list[str]) -> None:
    assert refusal(lambda: check_tags([*before, wrong, "last"])).field == f"tags/{len(before)}"
    assert refusal(lambda: check_tags([*before, wrong], "audience/tags")).field == f"audience/tags/{len(before)}"


def test_a_client_has_at_most_a_hundred_different_tags() -> None:
    hundred = [f"tag-{number}" for number in range(100)]
    assert check_tags(hundred + hundred) == tuple(hundred)
    assert refusal(lambda: check_tags([*hundred, "one more"])).field == "tags"
    assert check_tags(["t" * 100]) == ("t" * 100,)


@pytest.mark.parametrize("name", [*ZONES, DEFAULT_TIMEZONE, "Etc/GMT+12", "Asia/Vladivostok"])
def test_a_timezone_is_a_name_of_the_iana_database(name: str) -> None:
    assert check_timezone(name) == name
    assert str(zone(name)) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Mars/Olympus",
        "europe/moscow",
        "Europe/Moscow ",
        "Europe/Moscow\n",
        "Europe",
        "Europe/",
        "+03:00",
        "UTC+3",
        "../etc/passwd",
        "../../etc/passwd",
        "/etc/localtime",
        "/usr/share/zoneinfo/Europe/Moscow",
        "Europe/../Europe/Moscow",
        "posix/Europe/Moscow",
        "right/Europe/Moscow",
        "localtime",
        "tzdata.zi",
        "zone.tab",
        "Europe/Moscow\0",
        "\ud800",
        pytest.param("x" * 1_000_000, id="a million letters"),
    ],
)
def test_nothing_else_is_a_timezone_and_no_path_leaves_the_database(name: str) -> None:
    assert refusal(lambda: check_timezone(name)).field == "timezone"


def test_attributes_are_taken_as_they_are() -> None:
    attributes = {"name": "Анна", "_2": "{braces}", "x" * 64: "y" * 1_000, "empty": ""}
    checked = check_attributes(attributes)
    assert checked == attributes
    assert checked is not attributes


@pytest.mark.parametrize(
    "name", ["", " name", "name ", "1st", "имя", "a-b", "a.b", "a/b", "name\n", "a٣", "x" * 65, "\0"]
)
def test_an_attribute_has_a_name_that_can_stand_in_a_placeholder(name: str) -> None:
    assert refusal(lambda: check_attributes({"good": "value", name: "value"})).field == "attributes"


@pytest.mark.parametrize("value", [" ", "\n", "v" * 1_001, *NOT_STORABLE])
def test_an_attribute_has_a_value_that_can_be_stored(value: str) -> None:
    assert refusal(lambda: check_attributes({"good": "value", "city": value})).field == "attributes/city"


def test_a_client_has_at_most_a_hundred_attributes() -> None:
    hundred = {f"a{number}": "value" for number in range(100)}
    assert check_attributes(hundred) == hundred
    assert refusal(lambda: check_attributes({**hundred, "more": "value"})).field == "attributes"


@given(st.text(st.characters() | st.sampled_from(" \n\0\ud800\udfff"), max_size=12))
@example("\ud7ff\ue000")
@example(" " * 11)
def test_a_text_is_taken_when_every_store_and_wire_can_carry_it(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        carried = False
    else:
        carried = "\0" not in text and not text.isspace() and 0 < len(text) <= 10
    if carried:
        assert check_text("name", text, max_characters=10) == text
    else:
        assert refusal(lambda: check_text("name", text, max_characters=10)).field == "name"


def test_a_log_shows_a_phone_without_its_middle() -> None:
    assert mask_phone("79001234567") == "7900***4567"
