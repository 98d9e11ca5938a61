"""What hostile tests share: every operation of the API, and what a refusal looks like."""

import httpx

from services.api.application import ROUTERS
from tests.integration.api.running import PROBLEM

OPERATIONS = sorted(
    (method, route.path)  # type: ignore[attr-defined] - all are APIRoutes
    for router in ROUTERS
    for route in router.routes
    for method in route.methods  # type: ignore[attr-defined] - as above
)


def assert_refused(answer: httpx.Response, *statuses: int) -> None:
    assert answer.status_code in statuses, (answer.status_code, answer.text[:1_000])
    assert answer.headers["content-type"] == PROBLEM
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert {"type", "title", "detail", "instance", "code"} <= problem.keys()
    assert len(answer.content) < 100_000, "the answer is bounded, whatever was sent"
