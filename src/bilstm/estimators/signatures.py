"""What the source text of an estimator's class says: its constructor's parameters, and what it says of its task.

Nothing is imported or run, so that help, completion and a mistyped option answer at once: to import an estimator takes
seconds, for it brings torch.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import inspect
from functools import cache
from typing import Any, NamedTuple

from bilstm.errors import ParameterError
from bilstm.estimators import space


class Declaration(NamedTuple):
    """What a class and its bases in this package say of it."""

    parameters: list[inspect.Parameter]  # of its own ``__init__``, with their annotations as they are written
    texts: dict[str, str]  # what the docstrings say of each parameter
    attributes: dict[str, Any]  # those whose values are literals


@cache
def declaration(module: str, name: str) -> Declaration:
    """Read a class whose constructor has keyword parameters with literal defaults; ParameterError if there is none.

    Example:
        >>> read = declaration("bilstm.estimators.regressor", "BiLSTMRegressor")
        >>> read.parameters[0].name, read.parameters[0].default, read.texts["hidden_size"]
        ('hidden_size', 64, 'H, units of each direction in each layer.')
        >>> read.attributes["summary"]
        'One or more numbers for a row or a sequence.'
    """
    body = ast.parse(_source(module)).body
    kind = next((node for node in body if isinstance(node, ast.ClassDef) and node.name == name), None)
    if kind is None:
        raise ParameterError(f"expected a class {name}, got none ({module})")
    homes = {alias.name: node.module or "" for node in body if isinstance(node, ast.ImportFrom) for alias in node.names}
    parameters: list[inspect.Parameter] = []
    texts: dict[str, str] = {}
    attributes: dict[str, Any] = {}
    for base in reversed([base.id for base in kind.bases if isinstance(base, ast.Name)]):
        if homes.get(base, "").startswith("bilstm."):
            _, base_texts, base_attributes = declaration(homes[base], base)
            texts, attributes = texts | base_texts, attributes | base_attributes
    for function in kind.body:
        if isinstance(function, ast.FunctionDef) and function.name == "__init__":
            parameters = _parameters(function.args)
    own_texts = _described(ast.get_docstring(kind) or "")
    return Declaration(parameters, texts | own_texts, attributes | _attributes(kind.body))


def described(kind: type) -> dict[str, str]:
    """What the docstrings of a class and of its bases say of each parameter: name to one line."""
    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        texts |= _described(base.__doc__ or "")
    return texts


def _described(docstring: str) -> dict[str, str]:
    texts: dict[str, str] = {}
    current = None
    for line in inspect.cleandoc(docstring).partition("Args:\n")[2].splitlines():
        if not line.strip():
            break
        if not line.startswith(" " * 8):
            current, _, text = line.strip().partition(": ")
            texts[current] = text
        elif current:
            texts[current] += f" {line.strip()}"
    return texts


def _source(module: str) -> str:
    spec = importlib.util.find_spec(module)
    text = None if spec is None or spec.loader is None else getattr(spec.loader, "get_source", lambda _: None)(module)
    if not isinstance(text, str):
        raise ParameterError(f"expected the source text of {module}, got none")
    return text


def _parameters(arguments: ast.arguments) -> list[inspect.Parameter]:
    return [
        inspect.Parameter(
            argument.arg,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=ast.unparse(argument.annotation) if argument.annotation else "Any",
            default=inspect.Parameter.empty if default is None else ast.literal_eval(default),
        )
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]


def _attributes(body: list[ast.stmt]) -> dict[str, Any]:
    """Names that are given a literal in the body of a class; or a space, by the names of ``estimators/space.py``."""
    values: dict[str, Any] = {}
    for node in body:
        if isinstance(node, ast.Assign):
            target, value = node.targets[0], node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            target, value = node.target, node.value
        else:
            continue
        if isinstance(target, ast.Name):
            with contextlib.suppress(ValueError, AttributeError):  # neither a literal nor a space
                values[target.id] = _value(value)
    return values


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        return getattr(space, node.id)
    if isinstance(node, ast.BinOp):
        return _value(node.left) | _value(node.right)
    return ast.literal_eval(node)
