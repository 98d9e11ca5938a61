"""Public images: what is built upon and run, here already or fetched in a bounded time."""

import time
from collections.abc import Iterable

from deploy.containers.engine import ASK_LIMIT_S, CommandFailed, run

RUN_IMAGES = ("mongo:8", "rabbitmq:4-management")
"""Store and broker, as docker-compose.yml names them."""
BUILD_IMAGES = ("python:3.13-slim",)
"""What the Dockerfile builds upon."""


class ImageMissing(Exception):
    """A public image is not here and cannot be had; the message says which and why."""


def fetch_missing_images(images: Iterable[str], *, limit_s: float) -> None:
    """Pull the images that are not here.

    Args:
        limit_s: longest wait for all together, seconds.

    Raises:
        ImageMissing: the first that cannot be had in time.
    """
    deadline_s = time.monotonic() + limit_s
    for image in images:
        if _is_here(image):
            continue
        try:
            run(["docker", "pull", "--quiet", image], limit_s=max(1.0, deadline_s - time.monotonic()))
        except CommandFailed as error:
            raise ImageMissing(f"the image {image} is not here and cannot be pulled: {error}") from error


def _is_here(image: str) -> bool:
    try:
        run(["docker", "image", "inspect", image], limit_s=ASK_LIMIT_S)
    except CommandFailed:
        return False
    return True
