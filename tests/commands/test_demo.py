"""The page of ``python -m panoptic.demo``, with a tiny network, in a real browser."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from PIL import Image

from panoptic.commands.demo import demo
from panoptic.demo_page.answers import Answers
from panoptic.demo_page.examples import examples
from panoptic.demo_page.networks import load_network
from panoptic.demo_page.serving import build_app, listen, server_of
from panoptic.demo_page.uploads import Limits
from panoptic.results import Result
from panoptic.scenes.source import SyntheticSource
from tests.made_once import made_once

pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = Path("/usr/bin/chromium")

pytestmark = [
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium at /usr/bin/chromium"),
    # Gradio 6.31 sets an option of pandas that pandas 3 no longer needs.
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated"),
]

LIMITS = Limits(bytes=300_000, pixels=200_000)


@pytest.fixture(scope="module")
def files(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with two checkpoints of the shared run with random heads, and a scene."""

    def make(folder: Path) -> None:
        for seed, name in enumerate(("network.ckpt", "other.ckpt")):
            content = torch.load(trained / "checkpoints" / "last.ckpt", weights_only=True)
            generator = torch.Generator().manual_seed(seed)
            for layer in ("semantic_head.logits", "instance_head.center", "instance_head.offset"):
                content["state_dict"][f"network.{layer}.conv.weight"].normal_(std=5.0, generator=generator)
                content["state_dict"][f"network.{layer}.conv.bias"].zero_()
            torch.save(content, folder / name)
        scene = SyntheticSource(split="val", size=1, height=64, width=128).read(0)
        Image.fromarray(scene.image).save(folder / "scene.png")

    return made_once(tmp_path_factory, "demo", make)
