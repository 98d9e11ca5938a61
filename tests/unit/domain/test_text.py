"""Texts of mailings: what is a placeholder, what is not, and what one client gets to read."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.domain.text import (
    MAX_RENDERED_CHARACTERS,
    MAX_TEXT_CHARACTERS,
    MissingAttribute,
    Placeholder,
    Template,
    TextTooLong,
    parse_text,
)
from shared.errors import InvalidInput, MailrunError

NAMES = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,15}\Z")
STORABLE = st.characters(codec="utf-8", exclude_characters="\0")
LITERALS = st.text(STORABLE, max_size=40)
BRACELESS = LITERALS.map(lambda text: text.replace("{", "").replace("}", ""))
PLACEHOLDERS = st.builds(Placeholder, NAMES, st.none() | BRACELESS)
MALFORMED = st.sampled_from(
    ["{", "}", "{}", "{|x}", "{ name}", "{1st}", "{имя}", "{a-b}", "{name\n}", "{{}", "{{name}"]
)


def written(piece: str | Placeholder) -> str:
    """A piece as an operator writes it."""
    if isinstance(piece, str):
        return piece.replace("{", "{{").replace("}", "}}")
    return "{" + piece.name + ("" if piece.fallback is None else "|" + piece.fallback) + "}"


@given(st.text(STORABLE, min_size=1, max_size=MAX_TEXT_CHARACTERS // 2).filter(str.strip))
@example("{name}")
@example("{}}{")
@example("Цена 5 € 👋🏽\r\n\t‮")
def test_a_text_with_doubled_braces_is_read_as_it_was_meant(text: str) -> None:
    template = parse_text(written(text))
    assert template.render({}) == text
    assert template.attributes == frozenset()


@given(st.lists(LITERALS | PLACEHOLDERS, min_size=1, max_size=12), st.dictionaries(NAMES, LITERALS), st.data())
def test_each_client_reads_the_text_with_their_own_attributes(
    pieces: list[str | Placeholder], others: dict[str, str], data: st.DataObject
) -> None:
    # Given a text, and a client who has some of its attributes, perhaps empty, and others besides
    placeholders = [piece for piece in pieces if isinstance(piece, Placeholder)]
    attributes = others | {
        piece.name: data.draw(LITERALS, label=piece.name) for piece in placeholders if data.draw(st.booleans())
    }
    text = "!" + "".join(map(written, pieces))

    # When it is parsed, then it uses these attributes and no others
    template = parse_text(text)
    assert template.attributes == {piece.name for piece in placeholders}

    # And the client reads it as if each piece had been put in by hand, unless one is missing
    missing = [piece.name for piece in placeholders if not attributes.get(piece.name) and piece.fallback is None]
    if missing:
        with pytest.raises(MissingAttribute) as refused:
            template.render(attributes)
        assert refused.value.name == missing[0]
    else:
        values = [piece if isinstance(piece, str) else attributes.get(piece.name) or piece.fallback for piece in pieces]
        assert template.render(attributes) == "!" + "".join(map(str, values))


@given(LITERALS, MALFORMED, LITERALS)
def test_a_malformed_placeholder_is_refused_wherever_it_stands(before: str, malformed: str, after: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_text(written(before) + "[" + malformed + "]" + written(after))
    assert refused.value.field == "text"


@given(st.text("{}|ab 1\0\n\ud800é", max_size=20))
def test_whatever_is_written_is_either_a_template_or_refused(text: str) -> None:
    try:
        template = parse_text(text)
    except InvalidInput as refused:
        assert refused.field == "text"
    else:
        attributes = dict.fromkeys(template.attributes, "value")
        template.render(attributes).encode()


@pytest.mark.parametrize(
    ("text", "attributes", "read"),
    [
        ("Hello {name}!", {"name": "Анна"}, "Hello Анна!"),
        ("Hello {name|friend}!", {}, "Hello friend!"),
        ("Hello {name|friend}!", {"name": ""}, "Hello friend!"),
        ("Hello {name|friend}!", {"name": "Анна"}, "Hello Анна!"),
        ("Hello{name|}!", {}, "Hello!"),
        ("{a}{b}{a}", {"a": "1", "b": "2"}, "121"),
        ("{a|b|c}", {}, "b|c"),
        ("{a|first\nsecond}", {}, "first\nsecond"),
        ("{_A9|x}", {}, "x"),
        ("{a}", {"a": "{b} {{c}}"}, "{b} {{c}}"),
        ("{{a}}", {"a": "1"}, "{a}"),
        ("{{{a}}}", {"a": "1"}, "{1}"),
        ("{{{{a}}}}", {"a": "1"}, "{{a}}"),
        ("{a}}}", {"a": "1"}, "1}"),
        ("}}{{", {}, "}{"),
        ("a|b", {}, "a|b"),
        ("{" + "a" * 64 + "|x}", {}, "x"),
    ],
)
def test_what_a_client_reads(text: str, attributes: dict[str, str], read: str) -> None:
    assert parse_text(text).render(attributes) == read


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", 'a single "{" at character 1'),
        ("12}", 'a single "}" at character 3'),
        ("{{}", 'a single "}" at character 3'),
        ("}}}", 'a single "}" at character 3'),
        ("{a{b}", 'a single "{" at character 1'),
        ("{{{a}}", 'a single "}" at character 6'),
        ("{a|{b}}", 'a single "{" at character 1'),
        ("{}", '"{}" is no placeholder'),
        ("{|x}", '"{|x}" is no placeholder'),
        ("{ a}", '"{ a}" is no placeholder'),
        ("{a }", '"{a }" is no placeholder'),
        ("{a\n}", "is no placeholder"),
        ("{9a}", '"{9a}" is no placeholder'),
        ("{a.b}", '"{a.b}" is no placeholder'),
        ("{a!r}", '"{a!r}" is no placeholder'),
        ("{a[0]}", '"{a[0]}" is no placeholder'),
        ("{имя}", '"{имя}" is no placeholder'),
        ("{a٣}", '"{a٣}" is no placeholder'),
        ("{" + "a" * 65 + "}", "is no placeholder"),
        ("", "must not be blank"),
        (" \t\r\n\u00a0\u2003", "must not be blank"),
        ("a\0b", "NUL"),
        ("{a|\0}", "NUL"),
        ("a\ud800b", "lone surrogate"),
        ("a\udfffb", "lone surrogate"),
        ("{a|\udc00}", "lone surrogate"),
        pytest.param("a" * 2_001, "at most 2000 characters, this has 2001", id="2001 characters"),
        pytest.param("{{" * 1_001, "at most 2000 characters, this has 2002", id="2002 characters for 1001"),
        pytest.param("a" * 3_000_000, "at most 2000 characters", id="3 MB"),
    ],
)
def test_what_is_wrong_with_a_text_is_said(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_text(text)
    assert refused.value.field == "text"
    assert message in refused.value.message


@pytest.mark.parametrize("character", ["a", "я", "👋", "\n"])
def test_a_text_may_have_two_thousand_characters_as_people_count_them(character: str) -> None:
    text = "." + character * 1_999
    assert parse_text(text).render({}) == text


def test_a_missing_attribute_is_named_and_is_no_error_of_the_operators() -> None:
    with pytest.raises(MissingAttribute) as refused:
        Template(("a ", Placeholder("city", None))).render({"name": "x", "city": ""})
    assert refused.value.name == "city"
    assert not isinstance(refused.value, InvalidInput | MailrunError)


@pytest.mark.parametrize("character", ["a", "я", "👋"])
def test_attributes_may_make_a_text_so_long_and_no_longer(character: str) -> None:
    template = parse_text("{a}{a}{a}{a}{b|}")
    longest = character * (MAX_RENDERED_CHARACTERS // 4)

    assert template.render({"a": longest}) == longest * 4
    with pytest.raises(TextTooLong) as refused:
        template.render({"a": longest, "b": "!"})
    assert refused.value.characters == MAX_RENDERED_CHARACTERS + 1
    assert not isinstance(refused.value, InvalidInput | MailrunError)


def test_a_text_without_attributes_is_never_too_long() -> None:
    assert MAX_TEXT_CHARACTERS <= MAX_RENDERED_CHARACTERS
