"""The OpenAPI description, with the request as msgspec understands it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from fastapi.openapi.utils import get_openapi

if TYPE_CHECKING:
    from fastapi import FastAPI

REFUSALS = {
    "400": "The body is not JSON, not UTF-8, or not compressed as it says.",
    "408": "The body did not arrive in time.",
    "413": "The body is larger than the limit, as sent or decompressed.",
    "415": "The content type or the content encoding is not one that is taken here.",
    "422": "The body is JSON, but no request that can be served.",
    "503": "As many requests wait as may; Retry-After says when to come back.",
}


def describe(app: FastAPI, request_type: Any) -> dict[str, Any]:
    """OpenAPI of an application whose ``POST /`` takes ``request_type`` as JSON, also compressed."""
    (request,), schemas = msgspec.json.schema_components((request_type,), ref_template="#/components/schemas/{name}")
    schemas["Reply"] = {
        "description": "The function's own keys, and what answered.",
        "type": "object",
        "properties": {
            "replica": {"type": "string"},
            "node": {"type": "string"},
            "versions": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        "required": ["replica", "node", "versions"],
        "additionalProperties": True,
    }
    schemas["Refusal"] = {
        "description": "Why the request was not served, in one sentence.",
        "type": "object",
        "properties": {"detail": {"type": "string"}},
        "required": ["detail"],
    }
    description = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    description.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
    operation = description["paths"]["/"]["post"]
    operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": request}}}
    operation["parameters"] = [
        {
            "name": "Content-Encoding",
            "in": "header",
            "required": False,
            "description": "How the body is compressed, if it is.",
            "schema": {"enum": ["gzip", "zstd"]},
        }
    ]
    operation["responses"]["200"] = {
        "description": "The reply; the header Server-Timing tells the milliseconds of each phase.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Reply"}}},
    }
    refusal = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    operation["responses"] |= {
        status: {"description": sentence, "content": refusal} for status, sentence in REFUSALS.items()
    }
    return description
