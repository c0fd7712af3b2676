"""Fonts of figures: which signs can be drawn, and with what. Knows matplotlib's fonts; knows no figure."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from matplotlib import font_manager

# with signs that DejaVu lacks; the first that there is helps out
OTHER_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "SimHei",
    "Arial Unicode MS",
)
MISSING_SIGN = "▯"


@cache
def _families() -> tuple[str, ...]:
    """matplotlib's own font, and one with the signs of Chinese and Japanese where there is one."""
    known = {font.name for font in font_manager.fontManager.ttflist}
    return ("DejaVu Sans", *[name for name in OTHER_FONTS if name in known][:1])


def fonts() -> dict[str, Any]:
    """What every text of the caller's is drawn with."""
    return {"fontfamily": list(_families())}


@cache
def _signs() -> frozenset[int]:
    """Code points that the fonts in use can draw."""
    signs: set[int] = set()
    for name in _families():
        path = Path(font_manager.findfont(name))
        signs |= set(font_manager.get_font(str(path)).get_charmap())
    return frozenset(signs)


def drawable(text: str) -> str:
    """A text that can be drawn without a warning: signs that no font has become ▯, and $ is no mathematics.

    Example:
        >>> drawable("1,000 $")
        '1,000 \\\\$'
    """
    signs = _signs()
    known = "".join(sign if ord(sign) in signs or sign == "\n" else MISSING_SIGN for sign in text)
    return known.replace("$", r"\$")
