"""An X-ray as plots, charts, a page and files. The X-ray itself is data, and knows none of them."""

from __future__ import annotations

from pathlib import Path

from bilstm.errors import ParameterError

PLOTS = ("overview", "gates", "memory", "transitions")
FIGURES = (".png", ".svg", ".pdf")


def ending_of(path: Path) -> str:
    """The ending of a file that an X-ray can be saved as.

    Raises:
        ParameterError: it is another one.

    Example:
        >>> ending_of(Path("paris.HTML"))
        '.html'
    """
    ending = path.suffix.lower()
    if ending not in (*FIGURES, ".npz", ".json", ".html", ".htm"):
        raise ParameterError(
            f"expected a file that ends in .html, .png, .svg, .pdf, .npz or .json, got {path.name!r}",
            hint="the ending says what is written",
        )
    return ending
