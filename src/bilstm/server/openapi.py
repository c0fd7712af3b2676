"""The description of the API: a path for every loaded model with its own schema and an example that works.

OpenAPI 3.0, which the Swagger UI that comes along can show. Knows schemas; answers nothing.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import bilstm
from bilstm.server.forms.form import JSON
from bilstm.server.forms.sound import MULTIPART
from bilstm.server.models import Models, Served
from bilstm.server.problems import PROBLEM_SCHEMA, phrase
from bilstm.server.settings import Settings

# statuses that any route may answer, with what they mean
REFUSED = {
    400: "The request is not one of HTTP, or its Host is not a name of this machine.",
    401: "The token is missing or wrong.",
    403: "A page of another server made the browser send it.",
    404: "There is no such thing.",
    405: "The method is another one.",
    408: "The head or the body came too slowly.",
    413: "The body, or the sound in it, is too large.",
    415: "The body is of another kind.",
    422: "A value in the body is wrong; the error names its field.",
    429: "Too many requests at a time; Retry-After says when to try again.",
    431: "The head is too large.",
    500: "An error that was not foreseen.",
    503: "Too many connections, or too much that waits for a model; Retry-After says when to try again.",
    504: "The answer took too long.",
}
READING = (400, 401, 403, 405, 408, 413, 429, 431, 500, 503, 504)
PREDICTING = (*READING, 404, 415, 422)
TEXT = {"type": "string"}


def document(models: Models, settings: Settings) -> dict[str, Any]:
    """The whole description, for the models as they are loaded now."""
    served = [models.get(name) for name in models.names()]
    paths: dict[str, Any] = {address(one): {"post": _predict(one, settings)} for one in served}
    paths |= _facts(served)
    found: dict[str, Any] = {
        "openapi": "3.0.3",
        "info": {
            "title": "bilstm",
            "version": bilstm.__version__,
            "description": "Predictions of bidirectional LSTMs. Rows that come in one request are answered in their "
            "order; a row's prediction does not depend on what else is asked for.",
        },
        "paths": paths,
        "components": {"schemas": {"Error": PROBLEM_SCHEMA, "Model": MODEL}},
    }
    if settings.token is not None:
        found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"token": []}]
    return found


def address(served: Served) -> str:
    """Where a model predicts."""
    return f"/v1/models/{quote(served.name, safe='')}/predict"


def _predict(served: Served, settings: Settings) -> dict[str, Any]:
    predictions = {"type": "array", "items": served.form.answers.schema}
    answer = {
        "type": "object",
        "required": ["predictions"],
        "properties": {"predictions": predictions},
        "additionalProperties": False,
    }
    seen = ", ".join(served.estimator.target_names_) or "text"
    return {
        "summary": f"{served.name}: {served.task} of {seen}",
        "operationId": f"predict_{served.name}",
        "tags": ["predict"],
        "requestBody": {"required": True, "content": _content(served, settings)},
        "responses": {"200": _answer("A prediction for each row, in their order.", answer), **_refusals(PREDICTING)},
    }


def _content(served: Served, settings: Settings) -> dict[str, Any]:
    reads = served.form.reads
    if JSON not in reads.media:
        sounds = {"type": "array", "items": reads.schema, "minItems": 1, "maxItems": settings.rows}
        form = {"type": "object", "required": ["sound"], "properties": {"sound": sounds}}
        return {MULTIPART: {"schema": form}} | {kind: {"schema": reads.schema} for kind in reads.media[:-1]}
    rows = {"type": "array", "minItems": 1, "maxItems": settings.rows, "items": reads.schema}
    schema = {"type": "object", "required": ["rows"], "properties": {"rows": rows}, "additionalProperties": False}
    return {JSON: {"schema": schema, "example": {"rows": served.example}}}


def _facts(served: list[Served]) -> dict[str, Any]:
    """The routes that tell what there is and how it goes."""
    name = {
        "name": "name",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "enum": [one.name for one in served]},
    }
    model = {"$ref": "#/components/schemas/Model"}
    listed = {
        "type": "object",
        "required": ["models"],
        "properties": {"models": {"type": "array", "items": model}},
        "additionalProperties": False,
    }
    state = {"type": "object", "required": ["status"], "properties": {"status": TEXT}, "additionalProperties": False}
    figures = {"description": "Figures for Prometheus.", "content": {"text/plain": {"schema": TEXT}}}
    return {
        "/v1/models": {"get": _get("The models", "models", _answer("All models.", listed))},
        "/v1/models/{name}": {
            "get": _get("One model", "model", _answer("What is known of it.", model), also=(404,))
            | {"parameters": [name]}
        },
        "/healthz": {"get": _get("Whether the server runs", "health", _answer("It does.", state)) | {"security": []}},
        "/readyz": {"get": _get("Whether it predicts", "ready", _answer("It does.", state)) | {"security": []}},
        "/metrics": {"get": _get("Figures", "metrics", figures)},
    }


def _get(summary: str, operation: str, answer: dict[str, Any], also: tuple[int, ...] = ()) -> dict[str, Any]:
    responses = {"200": answer, **_refusals((*READING, *also))}
    return {"summary": summary, "operationId": operation, "tags": ["server"], "responses": responses}


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": schema}}}


def _refusals(statuses: tuple[int, ...]) -> dict[str, Any]:
    error = {"$ref": "#/components/schemas/Error"}
    return {str(status): _answer(f"{phrase(status)}: {REFUSED[status]}", error) for status in sorted(statuses)}


NULLABLE_NUMBERS = {"type": "object", "additionalProperties": {"type": "number", "nullable": True}}
MODEL: dict[str, Any] = {
    "type": "object",
    "required": ["name", "task", "columns", "targets", "classes", "epochs", "metrics", "loaded_at", "predict"],
    "additionalProperties": False,
    "properties": {
        "name": TEXT,
        "task": {"type": "string", "enum": ["regressor", "classifier", "tagger", "forecaster", "transcriber"]},
        "columns": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "kind"],
                "properties": {"name": TEXT, "kind": {"type": "string", "enum": ["number", "category", "time"]}},
                "additionalProperties": False,
            },
        },
        "targets": {"type": "array", "items": TEXT},
        "classes": {"type": "array", "nullable": True, "items": {}},
        "epochs": {"type": "integer", "description": "Passes over the training data."},
        "metrics": NULLABLE_NUMBERS | {"description": "Of the rows set aside in training."},
        "loaded_at": {"type": "string", "format": "date-time"},
        "predict": {"type": "string", "description": "Where it predicts."},
    },
}
