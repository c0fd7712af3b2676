"""Charts of the X-ray, the report and the page, and one page of HTML that shows them without another host.

Knows how a chart is embedded and looks in light and dark; what is in its figure, ``interactive`` knows.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bilstm.errors import from_extra

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Noto Sans CJK SC', sans-serif"


@dataclass(frozen=True)
class Chart:
    """One chart: what it is called, what one should see in it, and its figure."""

    title: str  # a few words
    note: str  # a sentence or two for the reader, plain text; also what a screen reader says of the chart
    figure: Mapping[str, Any] = field(repr=False)  # as :func:`bilstm.plotting.interactive.to_plotly` gives it
    height: int = 360  # pixels on a wide screen


def script() -> str:
    """Two <script> elements for the end of a page's head: plotly.js itself, and what draws every chart in its place."""
    library = from_extra("plotly.offline", "report").get_plotlyjs()
    return f"<script>{library}</script>\n<script>{DRAW}</script>"


def place(chart: Chart) -> str:
    """A <figure> element in which :func:`script` draws the chart."""
    data = json.dumps(chart.figure, ensure_ascii=True, allow_nan=False)
    data = data.replace("<", "\\u003c")  # nothing in it can end the element
    title, note = html.escape(chart.title), html.escape(chart.note)
    return (
        f'<figure class="chart"><figcaption><strong>{title}</strong> {note}</figcaption>'
        f'<div class="drawing" role="img" aria-label="{title}: {note}" style="height:{chart.height}px">'
        f'<script type="application/json">{data}</script></div></figure>'
    )


def page(title: str, charts: Iterable[Chart], *, before: str = "") -> str:
    """A whole page with charts one below the other, which needs no other file; ``before`` is HTML above the first."""
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">\n{CLOSED}'
    body = "\n".join(place(chart) for chart in charts)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>{head}\n<title>{html.escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n"
        f"{script()}\n</head>\n<body><main>\n<h1>{html.escape(title)}</h1>\n{before}\n{body}\n</main></body>\n</html>\n"
    )


# The page may run what it brings along and nothing else: no request leaves it, whatever it was made from.
CLOSED = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:\">"
)
STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1b1b1b; --soft: #5c5c5c; --line: #d8d8d8; --paper: #ffffff; --accent: #0072b2;
}
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececec; --soft: #a8a8a8; --line: #3c3c3c; --paper: #16181a; --accent: #56b4e9 }
}
body { margin: 0; color: var(--ink); background: var(--paper); font: 16px/1.5 FONT }
main { max-width: 62rem; margin: 0 auto; padding: 1rem }
h1 { font-size: 1.6rem; line-height: 1.25 }
figure { margin: 1.5rem 0 }
figcaption { color: var(--soft); max-width: 45rem }
figcaption strong { display: block; color: var(--ink) }
.drawing { width: 100%; overflow: hidden }
@media print { :root { --ink: #000; --soft: #333; --paper: #fff } figure { break-inside: avoid } }
""".replace("FONT", FONT)


# Colours of text and lines follow the reader's light or dark setting, as it is and as it changes; paper is light.
DRAW = """
(() => {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  let printing = false;
  const colours = () => dark.matches && !printing
    ? {ink: '#ececec', line: '#3c3c3c'} : {ink: '#1b1b1b', line: '#d8d8d8'};
  const tinted = figure => {
    const {ink, line} = colours(), layout = structuredClone(figure.layout);
    layout.font = {...layout.font, color: ink};
    if (printing) layout.width = 640;  // what fits between the margins of A4 and of Letter
    for (const name of Object.keys(layout).filter(key => /^[xy]axis/.test(key)))
      layout[name] = {gridcolor: line, zerolinecolor: line, linecolor: line, ...layout[name]};
    return layout;
  };
  const options = {responsive: true, displaylogo: false, displayModeBar: false, scrollZoom: false};
  const figures = new Map();
  const draw = (where, figure) => Plotly.react(where, figure.data, tinted(figure), options);
  const all = () => figures.forEach((figure, where) => draw(where, figure));
  document.addEventListener('DOMContentLoaded', () => {
    for (const where of document.querySelectorAll('.drawing')) {
      figures.set(where, JSON.parse(where.querySelector('script').textContent));
      where.textContent = '';
    }
    all();
  });
  dark.addEventListener('change', all);
  addEventListener('beforeprint', () => { printing = true; all(); });
  addEventListener('afterprint', () => {
    printing = false;
    all();
    figures.forEach((_, where) => Plotly.Plots.resize(where));
  });
})();
"""
