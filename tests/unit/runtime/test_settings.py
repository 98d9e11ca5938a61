"""Given the environment, when it is read, then it is checked."""

import pytest
from pydantic import ValidationError

from shared.runtime.settings import Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("API_PORT", "70000"),
        ("API_PORT", "http"),
        ("AMQP_URL", "http://localhost"),
        ("MONGO_URL", "localhost:27017"),
        ("MONGO_DATABASE", "a/b"),
        ("PROVIDER_URL", "ftp://provider"),
        ("PROVIDER_CONCURRENCY", "0"),
        ("PROVIDER_RATE_PER_S", "0"),
        ("PROVIDER_RATE_PER_S", "inf"),
        ("PROVIDER_REFUSAL_STATUSES", "429;500"),
        ("SENDER_MAX_ATTEMPTS", "0"),
        ("MAILING_PAUSE_FAILURE_SHARE", "0"),
        ("MAILING_PAUSE_FAILURE_SHARE", "50%"),
        ("MAILING_PAUSE_FAILURE_SHARE", "1.5"),
        ("LOG_LEVEL", "LOUD"),
    ],
)
def test_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_an_empty_value_counts_as_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_PORT", "")
    assert Settings().api_port == 8_000


def test_an_error_does_not_show_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URL", "http://user:secret@localhost")
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert "secret" not in str(caught.value)


def test_refusal_statuses_are_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVIDER_REFUSAL_STATUSES", " 429, 503 ")
    assert Settings().refusal_statuses == {429, 503}
