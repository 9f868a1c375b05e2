"""What a browser would make of a page: the tags it opens and the text it shows."""

from __future__ import annotations

from html.parser import HTMLParser


class Reader(HTMLParser):
    """Reads `html` at once.

    Attributes:
        tags: every opening tag with its attributes, in order.
        text: all character data, scripts and styles included.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data
