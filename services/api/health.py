"""Health: alive as long as this answers, ready while store and broker are there."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from services.api.incoming import StrictRoute
from services.api.parts import AnyParts

router = APIRouter(prefix="/health", tags=["health"], route_class=StrictRoute)


class LiveView(BaseModel):
    """The process answers."""

    status: Literal["live"] = "live"


class ReadyView(BaseModel):
    """What the API depends on, and how that is."""

    status: Literal["ready", "not ready"]
    dependencies: dict[str, str] = Field(
        description='"up", or what is wrong, by name', examples=[{"store": "up", "broker": "up"}]
    )


@router.get("/live", summary="Whether the process answers")
async def live() -> LiveView:
    return LiveView()


@router.get(
    "/ready",
    summary="Whether everything that the API depends on is there",
    response_model=ReadyView,
    responses={503: {"model": ReadyView, "description": "Something is away"}},
)
async def ready(parts: AnyParts) -> Response:
    await parts.store_watch.look()
    status, body = parts.health.as_answer()
    return JSONResponse(body, status)
