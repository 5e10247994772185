"""The OpenAPI description, with the request as msgspec understands it."""

from __future__ import annotations

import json
from html import escape
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi.openapi.utils import get_openapi

if TYPE_CHECKING:
    from fastapi import FastAPI

REFUSALS = {
    "400": "The body is not JSON, not UTF-8, or not compressed as its content encoding says.",
    "408": "The body did not arrive in time.",
    "413": "The body is larger than the limit, as sent or decompressed.",
    "415": "The content type or the content encoding is not supported.",
    "422": "The body is JSON, but not a request that can be served.",
    "503": "The queue is full; Retry-After gives the seconds until the next try.",
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


def render(description: dict[str, Any]) -> str:
    """An OpenAPI description as one page of HTML that needs nothing else."""
    title, text = escape(description["info"]["title"]), escape(description["info"].get("description", ""))
    paths = "".join(
        f"<tr><td><code>{method.upper()} {escape(path)}</code></td><td>{escape(operation['summary'])}</td></tr>"
        for path, operations in description["paths"].items()
        for method, operation in operations.items()
    )
    refusals = "".join(f"<tr><td>{status}</td><td>{sentence}</td></tr>" for status, sentence in REFUSALS.items())
    schemas = "".join(
        f"<h3>{escape(name)}</h3><p>{escape(schema.get('description', ''))}</p>"
        f"<pre>{escape(json.dumps(schema.get('properties', schema), indent=2))}</pre>"
        for name, schema in description["components"]["schemas"].items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        "<style>body{font:1rem/1.5 sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}"
        "p{white-space:pre-line}pre{overflow:auto;background:#f4f4f4;padding:1rem}td{padding-right:2rem}</style>"
        f"<h1>{title}</h1><p>{text}</p><table>{paths}</table>"
        "<pre>curl --data-binary @request.json http://HOST:PORT/</pre>"
        f"<h2>When a request is not served</h2><table>{refusals}</table>"
        '<h2>Schemas</h2><p>As JSON: <a href="openapi.json">openapi.json</a></p>'
        f"{schemas}</html>"
    )
