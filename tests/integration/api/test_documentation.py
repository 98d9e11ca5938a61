"""The documentation pages: they load nothing from elsewhere."""

import re

import httpx
import pytest


@pytest.mark.parametrize("path", ["/docs", "/docs/", "/redoc", "/redoc/"])
async def test_a_page_and_all_that_it_loads_come_from_the_api_itself(api: httpx.AsyncClient, path: str) -> None:
    page = await api.get(path)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    loaded = re.findall(r"""(?:src|href|spec-url)\s*=\s*["']([^"']+)["']""", page.text)
    loaded += re.findall(r"url: '([^']+)'", page.text)
    assert "/openapi.json" in loaded
    assert any(one.endswith(".js") for one in loaded)
    assert "://" not in re.sub(r"https?://(www\.)?w3\.org", "", page.text)
    for one in loaded:
        assert one.startswith("/")
        answer = await api.get(one)
        assert (answer.status_code, bool(answer.content)) == (200, True), one


async def test_the_document_is_served(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.")
    assert document["info"]["title"] == "Mailrun API"
