"""The OpenAPI 3.0 document, made from the tables of routes and parameters: it cannot drift."""

from collections.abc import Mapping, Sequence
from typing import Any

from node.api.formats import ARROW, CSV, GEOJSON, NDJSON, PARQUET
from node.api.parameters import PARAMETERS
from node.api.route import Route
from node.codec.decode import DECODERS
from zring import __version__

OPENAPI_TYPE = "application/vnd.oai.openapi+json;version=3.0"

_PATH_PARAMETERS: Mapping[str, str] = {
    "collection": "Name of a collection.",
    "id": "Id of a record as a page gave it out.",
}
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "reason"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "reason": {"type": "string"},
        "field": {"type": "string"},
        "retryable": {"type": "boolean"},
    },
}
_RECORD = {
    "type": "object",
    "required": ["sensor", "time", "lon", "lat", "values"],
    "properties": {
        "sensor": {"type": "string", "minLength": 1, "maxLength": 256},
        "time": {"type": "string", "format": "date-time"},
        "lon": {"type": "number", "minimum": -180, "maximum": 180},
        "lat": {"type": "number", "minimum": -90, "maximum": 90},
        "version": {"type": "integer", "minimum": 0},
        "values": {"type": "object", "additionalProperties": True},
    },
    "additionalProperties": False,
}
_FEATURE_COLLECTION = {
    "type": "object",
    "required": ["type", "features"],
    "properties": {
        "type": {"type": "string", "enum": ["FeatureCollection"]},
        "features": {"type": "array", "items": {"type": "object"}},
        "links": {"type": "array", "items": {"type": "object"}},
        "timeStamp": {"type": "string", "format": "date-time"},
        "numberReturned": {"type": "integer", "minimum": 0},
        "coverage": {"type": "object"},
    },
}
_REPLY = {
    "type": "object",
    "required": ["received", "stored", "rejected", "copies"],
    "properties": {
        "received": {"type": "integer"},
        "stored": {"type": "integer"},
        "rejected": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "reason"],
                "properties": {
                    "index": {"type": "integer"},
                    "reason": {"type": "string"},
                    "field": {"type": "string", "nullable": True},
                },
            },
        },
        "rejected_count": {"type": "integer"},
        "rejected_by_reason": {"type": "object", "additionalProperties": {"type": "integer"}},
        "copies": {
            "type": "object",
            "properties": {
                "wanted": {"type": "integer"},
                "durable": {"type": "integer"},
                "lacking": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
    },
}


def openapi_document(routes: Sequence[Route]) -> dict[str, Any]:
    """The document for a table of routes."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "zring",
            "version": __version__,
            "description": "Sensor records by place and time (OGC API - Features and more).",
        },
        "paths": paths,
        "components": {
            "schemas": {
                "problem": _PROBLEM,
                "record": _RECORD,
                "featureCollection": _FEATURE_COLLECTION,
                "reply": _REPLY,
            },
            "parameters": {name: _parameter(name) for name in PARAMETERS},
            "responses": {
                "problem": {
                    "description": "What is wrong and what to do (RFC 9457).",
                    "content": {"application/problem+json": {"schema": _ref("problem")}},
                }
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _ref(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}


def _parameter(name: str) -> dict[str, Any]:
    parameter = PARAMETERS[name]
    document: dict[str, Any] = {
        "name": name,
        "in": "query",
        "required": False,
        "description": parameter.description,
        "schema": dict(parameter.schema),
    }
    if parameter.explode is not None:
        document |= {"style": "form", "explode": parameter.explode}
    return document


def _operation(route: Route) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": text,
            "schema": {"type": "string"},
        }
        for name, text in _PATH_PARAMETERS.items()
        if "{" + name + "}" in route.path
    ]
    parameters.extend(
        {"$ref": f"#/components/parameters/{name}"} for name in sorted(route.parameters)
    )
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": parameters,
        "responses": _responses(route),
    }
    if route.body == "records":
        operation["requestBody"] = {
            "required": True,
            "content": {
                media_type: {"schema": _body_schema(media_type)} for media_type in DECODERS
            },
        }
    elif route.body is not None:
        media_type = "application/geo+json" if route.body == "polygon" else "application/json"
        operation["requestBody"] = {
            "required": True,
            "content": {media_type: {"schema": {"type": "object"}}},
        }
    return operation


def _body_schema(media_type: str) -> dict[str, Any]:
    if media_type == "application/json":
        return {"oneOf": [_ref("record"), {"type": "array", "items": _ref("record")}]}
    if media_type == "application/geo+json":
        return {"type": "object"}
    return {"type": "string", "format": "binary"}


def _responses(route: Route) -> dict[str, Any]:
    problem = {"$ref": "#/components/responses/problem"}
    responses: dict[str, Any] = {"200": {"description": route.summary, "content": _content(route)}}
    if route.body == "records":
        responses["202"] = {
            "description": "Stored on fewer nodes than asked for; it will get there.",
            "content": _content(route),
        }
    responses["default"] = problem
    return responses


def _content(route: Route) -> dict[str, Any]:
    if route.answer == "rows":
        binary = {"schema": {"type": "string", "format": "binary"}}
        return {
            GEOJSON.media_type: {"schema": _ref("featureCollection")},
            **{form.media_type: binary for form in (NDJSON, CSV, ARROW, PARQUET)},
        }
    if route.answer == "reply":
        return {"application/json": {"schema": _ref("reply")}}
    return {route.answer: {"schema": {"type": "object" if "json" in route.answer else "string"}}}
