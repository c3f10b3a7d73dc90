"""Label spaces: the categories of a data set, and their order as classes of a network.

A *category* is a named class of a data set, thing or stuff, with a color and the data set's id. A *class* is the
position of a category in its label space, ``0..C-1``; networks, losses and metrics use classes only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Category:
    """Category of a data set.

    Attributes:
        name: Name for display.
        id: Id in the data set, at least 0.
        isthing: Whether the category is countable (a thing) or amorphous (stuff).
        color: Red, green and blue, each in 0..255.
    """

    name: str
    id: int
    isthing: bool
    color: tuple[int, int, int]

    def __post_init__(self) -> None:
        if self.id < 0:
            raise ValueError(f"category {self.name!r}: expected an id of at least 0, got {self.id}")
        if len(self.color) != 3 or not all(0 <= c <= 255 for c in self.color):
            raise ValueError(f"category {self.name!r}: expected a color of three numbers in 0..255, got {self.color}")


@dataclass(frozen=True)
class LabelSpace:
    """Immutable, ordered categories; the class of a category is its position.

    Attributes:
        categories: Categories in the order of their classes.

    Raises:
        ValueError: If there are no categories or more than 254, or two share an id or a name.
    """

    categories: tuple[Category, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.categories) <= 254:
            raise ValueError(f"expected 1 to 254 categories, got {len(self.categories)}")
        for field in ("id", "name"):
            values = [getattr(category, field) for category in self.categories]
            duplicates = sorted({str(v) for v in values if values.count(v) > 1})
            if duplicates:
                raise ValueError(
                    f"expected categories with distinct {field}s, got these twice: {', '.join(duplicates)}"
                )

    def __len__(self) -> int:
        return len(self.categories)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.categories)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Category names in the order of the classes."""
        return tuple(category.name for category in self.categories)

    @cached_property
    def is_thing(self) -> tuple[bool, ...]:
        """Whether each class is a thing."""
        return tuple(category.isthing for category in self.categories)

    @cached_property
    def things(self) -> tuple[int, ...]:
        """Thing classes in ascending order."""
        return tuple(c for c, isthing in enumerate(self.is_thing) if isthing)

    @cached_property
    def stuff(self) -> tuple[int, ...]:
        """Stuff classes in ascending order."""
        return tuple(c for c, isthing in enumerate(self.is_thing) if not isthing)

    @cached_property
    def class_of_id(self) -> Mapping[int, int]:
        """Class of each category id."""
        return {category.id: c for c, category in enumerate(self.categories)}

    def has_categories_of(self, other: LabelSpace) -> bool:
        """Return whether both have the same names, ids and kinds in the same order; colors may differ."""

        def rows(space: LabelSpace) -> list[tuple[str, int, bool]]:
            return [(category.name, category.id, category.isthing) for category in space.categories]

        return rows(self) == rows(other)

    def difference(self, other: LabelSpace) -> str:
        """Describe the first difference from another label space, for an error message."""
        for position in range(max(len(self), len(other))):
            expected, actual = (
                f"{c.name!r} (id {c.id}, {'thing' if c.isthing else 'stuff'})" if c else "none"
                for c in (space.categories[position] if position < len(space) else None for space in (self, other))
            )
            if expected != actual:
                return f"category {position + 1} to be {expected}, got {actual}"
        return "other colors"

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return the categories as plain containers, in the format of COCO panoptic's ``categories``."""
        return [
            {"id": c.id, "name": c.name, "isthing": int(c.isthing), "color": list(c.color)} for c in self.categories
        ]

    @classmethod
    def from_dicts(cls, categories: Iterable[Any]) -> LabelSpace:
        """Create a label space from the result of :meth:`to_dicts`.

        Args:
            categories: Mappings with ``id``, ``name``, ``isthing`` and, optionally, ``color``. The default color is
                derived from the position.

        Raises:
            ValueError: If a key is missing or a value is invalid, or the label space would be invalid.
        """
        parsed = []
        for position, category in enumerate(categories):
            if not isinstance(category, Mapping):
                raise ValueError(
                    f"category {position + 1}: expected an object with id, name and isthing, got {category!r}"
                )
            missing = [key for key in ("id", "name", "isthing") if key not in category]
            if missing:
                raise ValueError(f"category {dict(category)}: expected the key {missing[0]!r}, which it lacks")
            color = category.get("color", default_color(position))
            for key, valid, expected in (
                ("id", type(category["id"]) is int, "a whole number"),
                ("name", isinstance(category["name"], str) and category["name"].isprintable(), "text"),
                ("isthing", category["isthing"] in (0, 1) and not isinstance(category["isthing"], float), "0 or 1"),
                ("color", _is_color(color), "three whole numbers in 0..255"),
            ):
                if not valid:
                    raise ValueError(
                        f"category {position + 1}: expected {key!r} to be {expected}, got {category[key]!r}"
                    )
            parsed.append(Category(category["name"], category["id"], bool(category["isthing"]), tuple(color)))
        return cls(tuple(parsed))


def _is_color(color: Any) -> bool:
    """Return whether a value from a JSON file is an RGB color."""
    return isinstance(color, (list, tuple)) and len(color) == 3 and all(type(c) is int and 0 <= c <= 255 for c in color)


def default_color(position: int) -> tuple[int, int, int]:
    """Return a color for the category at a position: golden-ratio steps of the hue, alternating brightness."""
    import colorsys

    red, green, blue = colorsys.hsv_to_rgb((position * 0.618034) % 1.0, 0.75, 0.95 if position % 2 == 0 else 0.65)
    return round(red * 255), round(green * 255), round(blue * 255)


def _cityscapes() -> LabelSpace:
    rows = (  # name, labelId, isthing, color, in the order of the trainIds
        ("road", 7, False, (128, 64, 128)),
        ("sidewalk", 8, False, (244, 35, 232)),
        ("building", 11, False, (70, 70, 70)),
        ("wall", 12, False, (102, 102, 156)),
        ("fence", 13, False, (190, 153, 153)),
        ("pole", 17, False, (153, 153, 153)),
        ("traffic light", 19, False, (250, 170, 30)),
        ("traffic sign", 20, False, (220, 220, 0)),
        ("vegetation", 21, False, (107, 142, 35)),
        ("terrain", 22, False, (152, 251, 152)),
        ("sky", 23, False, (70, 130, 180)),
        ("person", 24, True, (220, 20, 60)),
        ("rider", 25, True, (255, 0, 0)),
        ("car", 26, True, (0, 0, 142)),
        ("truck", 27, True, (0, 0, 70)),
        ("bus", 28, True, (0, 60, 100)),
        ("train", 31, True, (0, 80, 100)),
        ("motorcycle", 32, True, (0, 0, 230)),
        ("bicycle", 33, True, (119, 11, 32)),
    )
    return LabelSpace(tuple(Category(*row) for row in rows))


CITYSCAPES = _cityscapes()
"""The 19 evaluated classes of Cityscapes (Cordts et al. 2016), with labelIds as category ids, in order of trainIds."""


def is_cityscapes(labels: LabelSpace) -> bool:
    """Return whether these are the evaluated classes of Cityscapes with its labelIds; order and colors may differ."""

    def rows(space: LabelSpace) -> list[tuple[str, int, bool]]:
        return sorted((category.name, category.id, category.isthing) for category in space.categories)

    return rows(labels) == rows(CITYSCAPES)
