"""Elements: the only way to make markup here, so that no value can become any.

`div("a < b", cls="lead")` is an element. Every child that is a plain string is text and is escaped, whoever
wrote it; what is markup already is of type `Markup`, and only this module makes one. There is no way to
turn a string into markup, and a `Markup` refuses to be formatted into a string: both mistakes fail loudly.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from html import escape, unescape
from typing import Any, Protocol

Attribute = str | int | float | bool | None

# Never in our markup: the page's policy forbids most of it, and nothing here needs it.
_FORBIDDEN_ATTRIBUTES = ("style", "src", "srcdoc", "action", "formaction")
_VOID = frozenset({"br", "input", "meta"})
# Control characters, lone surrogates, and what turns the direction of the text that follows.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_TAG = re.compile(r"<[^>]*>")


class Markup:
    """Text that is markup already."""

    __slots__ = ("html",)

    def __init__(self, html: str) -> None:
        self.html = html

    def __str__(self) -> str:
        raise TypeError("markup is not text: hand it on as a child of an element")


Content = Markup | str | int | None | Iterable["Content"]


class Tag(Protocol):
    def __call__(self, *children: Content, **attributes: Attribute) -> Markup: ...


def element(name: str, /, *children: Content, **attributes: Attribute) -> Markup:
    """An element.

    `cls` is the class; other names lose a trailing underscore, and `_` inside becomes `-`. True writes the
    bare name; None and False leave the attribute out. Links lead inside the page only.
    """
    opening = name + "".join(map(_attribute, attributes.items()))
    if name in _VOID:
        return Markup(f"<{opening}>")
    return Markup(f"<{opening}>{_html(children)}</{name}>")


def _attribute(item: tuple[str, Attribute]) -> str:
    key, value = item
    name = "class" if key == "cls" else key.rstrip("_").replace("_", "-")
    if name in _FORBIDDEN_ATTRIBUTES or name.startswith("on"):
        raise ValueError(f"the page has no `{name}` attributes")
    if name == "href" and not str(value).startswith("#"):
        raise ValueError(f"links lead inside the page only, not to {value!r}")
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    text = shortest(value) if isinstance(value, float) else str(value)
    return f' {name}="{escape(printable(text))}"'


def _html(content: Content) -> str:
    if isinstance(content, Markup):
        return content.html
    if content is None:
        return ""
    if isinstance(content, str):
        return escape(printable(content), quote=False)
    if isinstance(content, int):
        return str(content)
    return "".join(map(_html, content))


def group(*children: Content) -> Markup:
    """Children without an element around them."""
    return Markup(_html(children))


def say(template: str, /, **parts: Content) -> Markup:
    """A sentence: `{name}` stands for the part of that name, all else is text."""
    words = re.split(r"\{(\w+)\}", template)
    return group(*(parts[word] if index % 2 else word for index, word in enumerate(words)))


def listed(names: Sequence[Content]) -> Markup:
    """`a, b and c`."""
    if len(names) < 2:
        return group(*names)
    return group(*(group(name, ", ") for name in names[:-2]), names[-2], " and ", names[-1])


def plain(content: Content) -> str:
    """The text that `content` reads as."""
    return unescape(_TAG.sub("", _html(content)))


def printable(text: str) -> str:
    """`text` with what is not to be seen made visible: a terminal or a reader would be led astray by some of it."""
    return _UNPRINTABLE.sub(lambda found: _picture(ord(found[0])), text)


def _picture(code: int) -> str:
    return chr(0x2400 + code) if code < 0x20 else "\ufffd"


def shortest(number: float) -> str:
    """A coordinate: two decimals at most."""
    text = f"{number:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def data_script(ident: str, value: Any) -> Markup:
    """`value` as JSON that the page's own script reads; inert, and no text in it can end the element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(f'<script type="application/json" id="{escape(ident)}">{text}</script>')


def own_source(name: str, source: str, **attributes: Attribute) -> Markup:
    """A `style` or `script` element of a file of this package."""
    if "</" in source:
        raise ValueError(f"the source of <{name}> holds `</`, which could end it")
    return Markup(f"<{name}{''.join(map(_attribute, attributes.items()))}>{source}</{name}>")


def document(head: Content, body: Content) -> str:
    """The whole file."""
    inside = f"<head>{_html(head)}</head><body>{_html(body)}</body>"
    return f'<!doctype html>\n<html lang="en">{inside}</html>\n'


def _tag(name: str) -> Tag:
    def make(*children: Content, **attributes: Attribute) -> Markup:
        return element(name, *children, **attributes)

    return make


a, aside, b, bdi, br, button, caption = map(_tag, ("a", "aside", "b", "bdi", "br", "button", "caption"))
code, dd, details, div, dl, dt = map(_tag, ("code", "dd", "details", "div", "dl", "dt"))
footer, h1, h2, h3, header, i = map(_tag, ("footer", "h1", "h2", "h3", "header", "i"))
input_, label, li, main, meta, nav = map(_tag, ("input", "label", "li", "main", "meta", "nav"))
p, pre, section, small, span, strong = map(_tag, ("p", "pre", "section", "small", "span", "b"))
summary, table, tbody, td, th, thead = map(_tag, ("summary", "table", "tbody", "td", "th", "thead"))
title, tr, ul = map(_tag, ("title", "tr", "ul"))
figure_ = _tag("figure")
svg, rect, line, text, path, circle = map(_tag, ("svg", "rect", "line", "text", "path", "circle"))
defs, pattern = map(_tag, ("defs", "pattern"))


def value(content: object, limit: int = 80) -> Markup:
    """A value from the traffic: text in its own direction, cut at `limit` characters, the rest in the title."""
    whole = "none" if content is None else str(content)
    return bdi(cut(whole, limit), title=whole[:1000] if len(whole) > limit else None)


def cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
