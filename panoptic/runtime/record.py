"""What an exported network says of itself: its record, the names of its input and outputs, the categories."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from panoptic.errors import InputError
from panoptic.labels import LabelSpace

KEY = "panoptic"
"""Key of the record among the metadata of a file."""

FORMAT_VERSION = 1
"""Version of the record and of the outputs, incremented by incompatible changes."""

INPUT = "image"
"""Name of the input: RGB images, uint8 ``[B H W 3]``, or images of other bands."""

OUTPUTS = {
    "semantic": ("batch", "height", "width"),
    "ids": ("batch", "height", "width"),
    "classes": ("batch", "segments"),
    "scores": ("batch", "segments"),
    "areas": ("batch", "segments"),
    "boxes": ("batch", "segments", "4"),
    "complexity": ("batch", "2"),
    "alpha": ("batch", "levels"),
}
"""Names of the outputs, in order, each with the meaning of its dimensions."""


@dataclass(frozen=True)
class Record:
    """Description of an exported network.

    Attributes:
        labels: Label space.
        strides: Pixels per cell by name: ``heads``, ``complexity`` and ``coarsest``.
        codec: Settings of the decoding in the file, by name.
        version: Version of this project that wrote the file.
        bands: Number of bands of the images.
        reading: How image files become these bands: ``channels`` and ``normalize`` of the training data; see
            :class:`panoptic.data.bands.Reading`. Empty for ordinary photos.
    """

    labels: LabelSpace
    strides: dict[str, int]
    codec: dict[str, Any]
    version: str
    bands: int = 3
    reading: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the record as text."""
        return json.dumps(
            {
                "format_version": FORMAT_VERSION,
                "version": self.version,
                "categories": self.labels.to_dicts(),
                "strides": self.strides,
                "codec": self.codec,
                "input": INPUT,
                "bands": self.bands,
                "reading": self.reading,
                "outputs": {name: list(dimensions) for name, dimensions in OUTPUTS.items()},
            }
        )

    @classmethod
    def from_json(cls, text: str | None, source: str) -> Record:
        """Read the result of :meth:`to_json`.

        Args:
            text: Text, ``None`` if there is none.
            source: Path of the file, for error messages.

        Raises:
            InputError: If there is none, it is damaged, or of another version.
        """
        if text is None:
            raise InputError(
                f"{source}: expected a network that python -m panoptic.export wrote, got one without its record"
            )
        try:
            content = json.loads(text)
            version = content["format_version"]
            if version != FORMAT_VERSION:
                raise InputError(
                    f"{source}: expected an exported network of format {FORMAT_VERSION}, got {version!r}; another "
                    "version of panoptic wrote it"
                )
            labels = LabelSpace.from_dicts(content["categories"])
            # Files of before have three bands and no reading.
            bands, reading = int(content.get("bands", 3)), dict(content.get("reading", {}))
            strides, codec, version = dict(content["strides"]), dict(content["codec"]), str(content["version"])
            return cls(labels, strides, codec, version, bands, reading)
        except InputError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{source}: expected a whole record of panoptic, got a damaged one ({error})") from error
