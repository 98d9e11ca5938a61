"""How hypothesis searches here: the same examples every time in CI, new ones at a desk, and a blob to repeat a failure.

A blob goes above the test that failed, as `@reproduce_failure(...)`.
"""

import os

from hypothesis import settings

settings.register_profile("domain", max_examples=100, deadline=None, print_blob=True, derandomize=bool(os.getenv("CI")))
settings.load_profile("domain")
