"""Positions of GeoTIFF files, by hand."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from panoptic.data.georeference import Georeference, read_georeference, write_georeference

UTM = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633)
"""Keys: projected, pixels are areas, EPSG 32633."""


def tiff(path: Path, **tags: tuple) -> Path:
    """Write a small TIFF with tags by name."""
    numbers = {"scale": (33550, 12), "tie": (33922, 12), "matrix": (34264, 12), "keys": (34735, 3), "turn": (274, 3)}
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for name, values in tags.items():
        number, kind = numbers[name]
        info.tagtype[number] = kind
        info[number] = values if len(values) > 1 else values[0]
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(path, tiffinfo=info)
    return path


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (
            {"scale": (0.5, 0.25, 0.0), "tie": (0.0, 0.0, 0.0, 1000.0, 2000.0, 0.0), "keys": UTM},
            Georeference((1000.0, 0.5, 0.0, 2000.0, 0.0, -0.25), 32633),
        ),
        (  # the point is that of the third pixel of the fifth row
            {"scale": (0.5, 0.25, 0.0), "tie": (2.0, 4.0, 0.0, 1000.0, 2000.0, 0.0), "keys": UTM},
            Georeference((999.0, 0.5, 0.0, 2001.0, 0.0, -0.25), 32633),
        ),
        (  # positions are those of centers
            {"scale": (2.0, 4.0, 0.0), "tie": (0.0, 0.0, 0.0, 10.0, 20.0, 0.0), "keys": (*UTM[:11], 2, *UTM[12:])},
            Georeference((9.0, 2.0, 0.0, 22.0, 0.0, -4.0), 32633),
        ),
        (  # turned, degrees
            {
                "matrix": (0.0, 1.0, 0.0, 7.0, 2.0, 0.0, 0.0, 8.0, *[0.0] * 7, 1.0),
                "keys": (1, 1, 0, 1, 2048, 0, 1, 4326),
            },
            Georeference((7.0, 0.0, 1.0, 8.0, 2.0, 0.0), 4326),
        ),
        (  # a system of its own has no code; a longer value stands elsewhere
            {
                "scale": (1.0, 1.0, 0.0),
                "tie": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
                "keys": (1, 1, 0, 2, 3072, 0, 1, 32767, 1026, 34737, 5, 0),
            },
            Georeference((0.0, 1.0, 0.0, 0.0, 0.0, -1.0), None),
        ),
        ({"scale": (1.0, 1.0, 0.0), "tie": (0.0,) * 12, "keys": UTM}, None),  # control points
        ({"scale": (1.0, 1.0, 0.0), "tie": (0.0,) * 6, "keys": UTM, "turn": (6,)}, None),
        ({"keys": UTM}, None),
        ({}, None),
    ],
)
def test_positions_are_read(tags: dict, expected: Georeference | None, tmp_path: Path) -> None:
    assert read_georeference(tiff(tmp_path / "a.tif", **tags)) == expected


def test_bands_that_pillow_does_not_know(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    extra = [(33550, "d", 3, (0.5, 0.5, 0.0), True), (33922, "d", 6, (0.0, 0.0, 0.0, 3.0, 4.0, 0.0), True)]
    values = np.zeros((4, 6, 7), np.float32)
    tifffile.imwrite(tmp_path / "a.tif", values, extratags=extra, photometric="minisblack", planarconfig="contig")
    assert read_georeference(tmp_path / "a.tif") == Georeference((3.0, 0.5, 0.0, 4.0, 0.0, -0.5), None)


def test_other_files_have_none(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    assert read_georeference(tmp_path / "a.png") is None
    (tmp_path / "b.tif").write_bytes(b"II*\0 no tiff")
    assert read_georeference(tmp_path / "b.tif") is None


def test_the_auxiliary_file_is_beside_the_image(tmp_path: Path) -> None:
    write_georeference(Georeference((0.1, 0.5, 0.0, 1e7, 0.0, -0.25), 32633), tmp_path / "a.png")
    root = ElementTree.parse(tmp_path / "a.png.aux.xml").getroot()
    assert (root.tag, root.findtext("SRS")) == ("PAMDataset", "EPSG:32633")
    assert [float(number) for number in root.findtext("GeoTransform").split(",")] == [0.1, 0.5, 0.0, 1e7, 0.0, -0.25]
    write_georeference(Georeference((0.0, 1.0, 0.0, 0.0, 0.0, 1.0), None), tmp_path / "b.png")
    assert "SRS" not in (tmp_path / "b.png.aux.xml").read_text()
