"""The description of the API: a path for every loaded model with its own schema and an example that works.

OpenAPI 3.0, which the Swagger UI that comes along can show. Knows schemas; answers nothing.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import bilstm
from bilstm.estimators.base import BiLSTMEstimator
from bilstm.server.formats.inputs import JSON, MULTIPART
from bilstm.server.formats.outputs import output_format
from bilstm.server.formats.values import NUMBER_OR_NULL, TEXT, list_schema, object_schema
from bilstm.server.models import Models, Served
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
    415: "The body is of another kind, or compressed.",
    422: "A value in the body is wrong; the error names its field.",
    429: "Too many requests at a time; Retry-After says when to try again.",
    431: "The head is too large.",
    500: "An error that was not foreseen.",
    503: "Too many connections, or too much that waits for a model; Retry-After says when to try again.",
    504: "The answer took too long.",
}
READING = (400, 401, 403, 405, 408, 413, 429, 431, 500, 503, 504)
PREDICTING = (*READING, 404, 415, 422)
TASKS = [kind.task for kind in output_format.registry if issubclass(kind, BiLSTMEstimator)]


def document(models: Models, settings: Settings, root: str = "") -> dict[str, Any]:
    """The description of the API as it is served below the prefix ``root``."""
    served = [models.get(name) for name in models.names()]
    paths = {f"/v1/models/{quote(one.name, safe='')}/predict": {"post": _predict(one, settings)} for one in served}
    description: dict[str, Any] = {
        "openapi": "3.0.3",
        "info": {
            "title": "bilstm",
            "version": bilstm.__version__,
            "description": "Predictions of bidirectional LSTMs. Rows that come in one request are answered in their "
            "order; a row's prediction does not depend on what else is asked for.",
        },
        "paths": paths | _facts(served),
        "components": {"schemas": {"Error": ERROR, "Model": MODEL}},
    }
    if root:
        description["servers"] = [{"url": root}]
    if settings.token is not None:
        description["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        description["security"] = [{"token": []}]
    return description


def _predict(served: Served, settings: Settings) -> dict[str, Any]:
    inputs, estimator = served.format.inputs, served.estimator
    rows = list_schema(inputs.schema) | {"minItems": 1, "maxItems": settings.rows}
    if JSON in inputs.media:
        content = {JSON: {"schema": object_schema({"rows": rows}), "example": {"rows": inputs.examples}}}
    else:
        form = {"type": "object", "required": ["sound"], "properties": {"sound": rows}}
        content = {kind: {"schema": form if kind == MULTIPART else inputs.schema} for kind in inputs.media}
    predictions = object_schema({"predictions": list_schema(served.format.outputs.schema)})
    return _operation(
        f"{served.name}: {estimator.task} of {', '.join(estimator.target_names_) or 'text'}",
        f"predict_{served.name}",
        _answer("A prediction for each row, in their order.", predictions),
        PREDICTING,
        "predict",
    ) | {"requestBody": {"required": True, "content": content}}


def _facts(served: list[Served]) -> dict[str, Any]:
    names = TEXT | {"enum": [one.name for one in served]}
    parameters = [{"name": "name", "in": "path", "required": True, "schema": names}]
    model = {"$ref": "#/components/schemas/Model"}
    all_models = _answer("All models.", object_schema({"models": list_schema(model)}))
    one_model = _operation("One model", "model", _answer("What is known of it.", model), (*READING, 404))
    state = _answer("It does.", object_schema({"status": TEXT}))
    is_open: dict[str, Any] = {"security": []}  # answered without the token
    figures = {"description": "Figures for Prometheus.", "content": {"text/plain": {"schema": TEXT}}}
    return {
        "/v1/models": {"get": _operation("The models", "models", all_models)},
        "/v1/models/{name}": {"get": one_model | {"parameters": parameters}},
        "/healthz": {"get": _operation("Whether the server runs", "health", state) | is_open},
        "/readyz": {"get": _operation("Whether it predicts", "ready", state) | is_open},
        "/metrics": {"get": _operation("Figures", "metrics", figures)},
    }


def _operation(
    summary: str, name: str, answer: dict[str, Any], refusals: tuple[int, ...] = READING, tag: str = "server"
) -> dict[str, Any]:
    error = {"$ref": "#/components/schemas/Error"}
    refused = {str(one): _answer(f"{HTTPStatus(one).phrase}: {REFUSED[one]}", error) for one in sorted(refusals)}
    return {"summary": summary, "operationId": name, "tags": [tag], "responses": {"200": answer, **refused}}


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": schema}}}


MODEL = object_schema(
    {
        "name": TEXT,
        "task": TEXT | {"enum": TASKS},
        "columns": list_schema(object_schema({"name": TEXT, "kind": TEXT | {"enum": ["number", "category", "time"]}})),
        "targets": list_schema(TEXT),
        "classes": list_schema({}) | {"nullable": True},
        "epochs": {"type": "integer", "description": "Passes over the training data."},
        "metrics": {
            "type": "object",
            "additionalProperties": NUMBER_OR_NULL,
            "description": "Of the rows set aside in training.",
        },
        "loaded_at": TEXT | {"format": "date-time"},
        "predict": TEXT | {"description": "Where it predicts."},
    }
)
ERROR = object_schema(
    {
        "error": object_schema(
            {
                "status": {"type": "integer", "description": "That of the answer."},
                "message": TEXT | {"description": "What was expected, and what came."},
                "hint": TEXT | {"nullable": True, "description": "What to do about it."},
                "field": TEXT | {"nullable": True, "description": "Which part of the request is meant."},
            }
        )
    }
) | {
    "example": {
        "error": {
            "status": 422,
            "message": "expected a number, got 'many'",
            "hint": "null stands for a number that is not known",
            "field": "rows[0].rooms",
        }
    }
}
