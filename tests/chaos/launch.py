"""Run a service with something planted in it: `python -m tests.chaos.launch services.sender`.

The product knows nothing of tests. What a campaign needs is put around named functions of the product's modules here,
before the service begins: each call tells the provider when its message was claimed; and, as `CHAOS_PLAN` says, the
process dies or stalls at a named place, has a mistake planted, or a constant changed. A name that is gone is an error.
"""

import json
import os
import runpy
import sys

from tests.chaos.claim_tags import tag_calls
from tests.chaos.crashing import plant_point
from tests.chaos.mistakes import plant_mistake
from tests.chaos.planting import replace

PLAN_VARIABLE = "CHAOS_PLAN"


def main() -> None:
    module = sys.argv[1]
    service = module.rpartition(".")[2]
    plan = json.loads(os.environ.get(PLAN_VARIABLE) or "{}")
    if service == "sender":
        tag_calls()
    for place, value in (plan.get("constants") or {}).items():
        set_constant(place, value)
    if mistake := plan.get("mistake"):
        plant_mistake(mistake, service)
    if point := plan.get("point"):
        plant_point(point, service)
    sys.argv = sys.argv[1:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def set_constant(place: str, value: object) -> None:
    """Give a constant of the product another value."""
    replace(place, lambda _: value)


if __name__ == "__main__":
    main()
