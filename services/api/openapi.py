"""OpenAPI: what FastAPI cannot tell by itself about media types and headers."""

from typing import Any

from fastapi import FastAPI

from services.api.incoming import JSON, MERGE_PATCH
from services.api.problems import PROBLEM_MEDIA_TYPE, Problem

OPENAPI_PATH = "/openapi.json"

PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "The request is refused", "model": Problem},
    503: {"description": "The store is away, try again", "model": Problem},
}
"""How every operation on a resource may be refused."""

HEADERS = {
    "ETag": {
        "description": "Tag of the resource's state, for If-Match and If-None-Match",
        "schema": {"type": "string"},
    },
    "Location": {"description": "Path of what was created", "schema": {"type": "string"}},
}


class DocumentedApi(FastAPI):
    """A FastAPI whose document is finished by hand."""

    def openapi(self) -> dict[str, Any]:
        known = self.openapi_schema
        document = super().openapi()
        if document is not known:
            for path, operations in document["paths"].items():
                for method, operation in operations.items():
                    _finish(operation, method=method, is_one="_id}" in path.rpartition("/")[2])
        return document


def _finish(operation: dict[str, Any], *, method: str, is_one: bool) -> None:
    """
    Args:
        is_one: whether the path is that of a single resource.
    """
    responses: dict[str, Any] = operation["responses"]
    for status in ("4XX", "503"):
        content = responses.get(status, {}).get("content", {})
        if "Problem" in str(content):
            responses[status]["content"] = {PROBLEM_MEDIA_TYPE: content[JSON]}
    if "503" in responses:
        responses["503"]["headers"] = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}
    if "201" in responses:
        responses["201"]["headers"] = HEADERS
    if method == "patch":
        operation["requestBody"]["content"][MERGE_PATCH] = operation["requestBody"]["content"][JSON]
    if is_one and method in ("get", "patch"):
        responses["200"]["headers"] = {"ETag": HEADERS["ETag"]}
    if is_one:
        name = "If-None-Match" if method == "get" else "If-Match"
        if method == "get":
            responses["304"] = {"description": "The resource is what If-None-Match names"}
        operation["parameters"].append({"name": name, "in": "header", "required": False, "schema": {"type": "string"}})
