"""Documentation pages, which work without the internet: their scripts come with the package fastapi-offline."""

from importlib.resources import files

from fastapi import APIRouter, FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from services.api.openapi import OPENAPI_PATH

ASSETS = "/docs/assets"

router = APIRouter(include_in_schema=False)


def add_documentation(application: FastAPI) -> None:
    """Serve `/docs`, `/docs/`, `/redoc` and what they load."""
    application.mount(ASSETS, StaticFiles(directory=str(files("fastapi_offline") / "static")), name="assets")
    application.include_router(router)


@router.get("/docs")
@router.get("/docs/")
async def swagger_ui() -> HTMLResponse:
    return get_swagger_ui_html(
        openapi_url=OPENAPI_PATH,
        title="Mailrun API",
        swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{ASSETS}/favicon.png",
        swagger_ui_parameters={"validatorUrl": None},  # or the page would show the document to a website
    )


@router.get("/redoc")
@router.get("/redoc/")
async def redoc() -> HTMLResponse:
    return get_redoc_html(
        openapi_url=OPENAPI_PATH,
        title="Mailrun API",
        redoc_js_url=f"{ASSETS}/redoc.standalone.js",
        redoc_favicon_url=f"{ASSETS}/favicon.png",
        with_google_fonts=False,
    )
