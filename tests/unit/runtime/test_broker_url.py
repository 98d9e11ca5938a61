"""Given the URL of one broker node or of several, when it is read, then it is checked and told apart into nodes."""

import pytest
from pydantic import ValidationError

from deploy.local.choices import BadChoice, read_environment
from shared.addresses import one_address_each
from shared.runtime.settings import Settings

THREE = "amqp://mailrun:secret@one:5672,two:5673,three/mail?channel_max=7"


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("amqp://a:b@host:5672/", ("amqp://a:b@host:5672/",)),
        ("amqp://host", ("amqp://host",)),
        ("amqps://a:b,c@host/v,w", ("amqps://a:b,c@host/v,w",)),
        ("amqp://a:b@[::1]:1,[::2]/", ("amqp://a:b@[::1]:1/", "amqp://a:b@[::2]/")),
        ("amqp://one:1, two:2", ("amqp://one:1", "amqp://two:2")),
        ("amqp://one,two?heartbeat=5", ("amqp://one?heartbeat=5", "amqp://two?heartbeat=5")),
        (
            THREE,
            (
                "amqp://mailrun:secret@one:5672/mail?channel_max=7",
                "amqp://mailrun:secret@two:5673/mail?channel_max=7",
                "amqp://mailrun:secret@three/mail?channel_max=7",
            ),
        ),
    ],
)
def test_each_node_has_all_but_the_other_hosts(url: str, addresses: tuple[str, ...]) -> None:
    assert one_address_each(url) == addresses


@pytest.mark.parametrize("url", [THREE, "amqp://guest:guest@127.0.0.1:5672/", "amqps://[::1]:5671,other"])
def test_a_good_one_is_kept_as_it_is(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AMQP_URL", url)
    assert Settings().amqp_url == url
    assert read_environment()[0].amqp_url == url


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://a:secret@one:1,two:2/", "host 1 of 2: URL scheme should be 'amqp' or 'amqps'"),
        ("amqp://a:secret@one:1,two:70000/", "host 2 of 2: .*invalid port number"),
        ("amqp://a:secret@one:1,/", "host 2 of 2: .*empty host"),
        ("amqp://,two:2/", "host 1 of 2: it is empty"),
        ("amqp://a:secret@one,b:secret@two/", "user and password stand once, before the first host"),
        ("amqp://a:secret@one:port/", "invalid port number"),
        ("a:secret@one,two", "should be"),
    ],
)
def test_a_wrong_one_is_told_with_its_host_and_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str, told: str
) -> None:
    monkeypatch.setenv("AMQP_URL", url)
    with pytest.raises(ValidationError, match=told) as caught:
        Settings()
    assert "amqp_url" in str(caught.value)
    assert "HOST:PORT,HOST:PORT" in str(caught.value)
    with pytest.raises(BadChoice, match=f"AMQP_URL: .*{told}") as in_one_line:
        read_environment()
    assert "secret" not in f"{caught.value}{in_one_line.value}"
