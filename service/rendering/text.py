"""Writes anti-aliased text on images."""

from __future__ import annotations

from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]


@lru_cache(maxsize=32)
def font(size: int) -> ImageFont.FreeTypeFont:
    """Pillow's own font in a size in pixels; no font files of the system are needed."""
    loaded = ImageFont.load_default(size=size)
    assert isinstance(loaded, ImageFont.FreeTypeFont)
    return loaded


def text_width(text: str, size: int) -> int:
    """Width of a line in pixels."""
    return int(font(size).getlength(text)) + 1


def shorten(text: str, size: int, width: int) -> str:
    """The text, cut with an ellipsis where it is wider than `width` pixels."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def wrap(text: str, size: int, width: int, between: str = " ") -> list[str]:
    """The text as lines of at most `width` pixels, broken between words; a longer word is cut. between: " ", or
    the separator of items."""
    lines: list[str] = []
    for word in text.split(between):
        longer = f"{lines[-1]}{between}{word}" if lines else word
        if lines and text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(shorten(word, size, width))
    return lines


def write(
    image: Image.Image, position: tuple[float, float], text: str, size: int, colour: Colour, anchor: str = "la"
) -> None:
    """Write one line. position, anchor: as in Pillow ("la" left top, "ra" right top, "mm" middle)."""
    ImageDraw.Draw(image).text(position, text, fill=colour, font=font(size), anchor=anchor)


def number(value: float) -> str:
    """A short number for an axis: three significant digits."""
    return f"{value:.3g}"
