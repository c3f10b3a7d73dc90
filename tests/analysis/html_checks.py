"""A check of HTML with the standard library alone: balanced tags, unique ids, links that lead somewhere, no network."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "hr"}
EMPTY_SVG = {"rect", "line"}


class Checked(HTMLParser):
    """Parse a page, and raise at the first tag that is not closed where it should be.

    Attributes:
        text: Text of each element that has some, by name of the element.
        attributes: Attributes of each element, by name of the element.
    """

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.text: dict[str, list[str]] = {}
        self.attributes: dict[str, list[dict]] = {}
        self.feed(page)
        self.close()
        assert self.open == [], f"not closed: {self.open}"
        everything = [attributes for group in self.attributes.values() for attributes in group]
        ids = [attributes["id"] for attributes in everything if "id" in attributes]
        assert len(ids) == len(set(ids))
        for link in self.attributes.get("a", []):
            assert link["href"].removeprefix("#") in ids
        for attributes in everything:
            assert not set(attributes) & {"onclick", "onload", "onerror"}
            for key in ("src", "href", "xlink:href"):
                assert attributes.get(key, "#").startswith(("#", "data:")), attributes
        assert not set(self.attributes) & {"script", "link", "iframe", "object", "base"}
        assert all("url(" not in style and "@import" not in style for style in self.text.get("style", []))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert len({key for key, _ in attributes}) == len(attributes), f"<{tag}>: an attribute twice"
        self.attributes.setdefault(tag, []).append({key: value or "" for key, value in attributes})
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in EMPTY_SVG, f"<{tag}/>"
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another"

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.text.setdefault(self.open[-1], []).append(data)
