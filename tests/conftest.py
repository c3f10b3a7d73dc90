"""Shapes and types in the package's signatures are checked at run time while testing."""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Iterator

import pytest
from hydra._internal.hydra import Hydra
from hydra.types import RunMode

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask over the network at import
if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch is imported, and for the commands that tests start: processes share the processors as it is.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

if importlib.util.find_spec("beartype") is not None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        # All of the suite needs them anyway, and what is imported from within the package is compiled anew: the hook
        # has caches of its own, for all that is imported meanwhile.
        for package in ("albumentations", "lightning.pytorch", "matplotlib", "timm", "torchmetrics", "torchvision"):
            importlib.import_module(package)

    # The hook reaches what is imported after it, so it comes before any test file imports the package.
    from tests.shape_checks import check_signatures

    check_signatures("panoptic")


@pytest.fixture(autouse=True, scope="session")
def _compose_once() -> Iterator[None]:
    """Compose the configuration of a command once.

    To learn ``hydra.mode``, which the studies alone set, Hydra composes all of it, and then does so again. The two take
    two fifths of the time of a command at a tiny size.
    """
    in_full = Hydra.get_mode

    def get_mode(self: Hydra, config_name: str | None, overrides: list[str]) -> RunMode | None:
        studies = any("study" in override or "hydra.mode" in override for override in overrides)
        return in_full(self, config_name, overrides) if studies else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hydra, "get_mode", get_mode)
        yield
