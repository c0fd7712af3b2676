"""What a constructor's source text says: names, types and defaults, and what the docstring tells of each.

Nothing is imported or run, so that help, completion and a mistyped option answer at once: to import an estimator takes
seconds, for it brings torch.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
from typing import NamedTuple

from bilstm.errors import ParameterError


class Constructor(NamedTuple):
    """The parameters of a class's ``__init__``, annotations as they are written; and what each of them is."""

    parameters: list[inspect.Parameter]
    texts: dict[str, str]


def constructor(module: str, name: str) -> Constructor:
    """Read the constructor of a class whose parameters are keywords with literal defaults.

    Raises:
        ParameterError: the module has no source text, or no such class.

    Example:
        >>> read = constructor("bilstm.estimators.regressor", "BiLSTMRegressor")
        >>> read.parameters[0].name, read.parameters[0].default, read.texts["hidden_size"]
        ('hidden_size', 64, 'H, units of each direction in each layer.')
    """
    body = ast.parse(_source(module)).body
    found = [node for node in body if isinstance(node, ast.ClassDef) and node.name == name]
    made = [node for kind in found for node in kind.body if isinstance(node, ast.FunctionDef)]
    for function in made:
        if function.name == "__init__":
            return Constructor(_parameters(function.args), described(ast.get_docstring(found[0]) or ""))
    raise ParameterError(f"expected a class {name} with a constructor, got none ({module})")


def described(docstring: str) -> dict[str, str]:
    """What a class's docstring says of each parameter, for ``--help``: name to one line."""
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
