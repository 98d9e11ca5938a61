"""When a mailing has to pause itself: by the share of permanent failures among its last outcomes, and no sooner."""

import pytest

from shared.domain.self_pause import self_pause_reason


def outcomes(*runs: tuple[int, bool]) -> list[bool]:
    return [failed for count, failed in runs for _ in range(count)]


@pytest.mark.parametrize(
    ("runs", "share", "reason"),
    [
        ((), 0.5, None),
        (((199, True),), 0.5, None),
        (((200, True),), 0.5, "too_many_failures: 200 of the last 200 outcomes"),
        (((100, False), (100, True)), 0.5, None),
        (((99, False), (101, True)), 0.5, "too_many_failures: 101 of the last 200 outcomes"),
        (((101, True), (99, False)), 0.5, "too_many_failures: 101 of the last 200 outcomes"),
        (((5_000, False), (500, True)), 0.5, None),
        (((5_000, False), (501, True)), 0.5, "too_many_failures: 501 of the last 1000 outcomes"),
        (((5_000, True), (500, False)), 0.5, None),
        (((195, False), (5, True)), 0.02, "too_many_failures: 5 of the last 200 outcomes"),
        (((1_000, True),), 1.0, None),
    ],
)
def test_more_than_a_share_of_the_last_thousand_but_not_of_fewer_than_two_hundred(
    runs: tuple[tuple[int, bool], ...], share: float, reason: str | None
) -> None:
    assert self_pause_reason(outcomes(*runs), share=share) == reason
