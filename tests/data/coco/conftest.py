"""A data set of one image, sound or changed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tests.data.coco.made_files import LABELS, write_image


@pytest.fixture
def content():
    """A valid JSON file of one image, 2 high and 3 wide: sky with number 70000, two cars with 255 and 256, void."""
    return {
        "images": [{"id": 5, "file_name": "a.png", "height": 2, "width": 3}],
        "annotations": [
            {
                "image_id": 5,
                "file_name": "a.png",
                "segments_info": [
                    {"id": 70000, "category_id": 7, "iscrowd": 1, "area": 2, "bbox": [0, 0, 2, 1]},
                    {"id": 256, "category_id": 3, "iscrowd": 1},
                    {"id": 255, "category_id": 3, "iscrowd": 0},
                ],
            }
        ],
        "categories": LABELS.to_dicts(),
    }


@pytest.fixture
def dataset(tmp_path, content):
    """Writes that file, or a changed one, with its PNG and image."""

    def write(changed=None, json_name="panoptic_val.json", image_folder="val", root=tmp_path):
        path = root / json_name
        path.with_suffix("").mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(changed or content))
        # 70000 = 112 + 256 * 17 + 65536 * 1
        pixels = [[(112, 17, 1), (112, 17, 1), (0, 0, 0)], [(255, 0, 0), (0, 1, 0), (0, 1, 0)]]
        Image.fromarray(np.array(pixels, np.uint8)).save(path.with_suffix("") / "a.png")
        write_image(root / image_folder / "a.png", 2, 3)
        return root

    return write
