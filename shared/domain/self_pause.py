"""Self-pause: a mailing of which too many messages fail for good stops by itself, before all of its audience has."""

from collections.abc import Sequence

LAST_OUTCOMES = 1_000  # that are looked at
LEAST_OUTCOMES = 200  # fewer say nothing yet
DEFAULT_FAILURE_SHARE = 0.5
TOO_MANY_FAILURES = "too_many_failures"


def self_pause_reason(outcomes: Sequence[bool], *, share: float) -> str | None:
    """Why a mailing has to pause itself, for its `pause_reason`; None when it need not.

    Args:
        outcomes: of its attempts, whether each was a permanent failure, the youngest last. Only the last
            `LAST_OUTCOMES` count, and fewer than `LEAST_OUTCOMES` say nothing.
        share: more than this part of them is too many, above 0; 1 is never too many.
    """
    last = outcomes[-LAST_OUTCOMES:]
    failures = sum(last)
    if len(last) < LEAST_OUTCOMES or failures <= share * len(last):
        return None
    return f"{TOO_MANY_FAILURES}: {failures} of the last {len(last)} outcomes"
