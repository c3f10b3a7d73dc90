"""Shapes and types in the package's signatures are checked at run time while testing."""

from __future__ import annotations

import importlib.util
import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask over the network at import
if "PYTEST_XDIST_WORKER" in os.environ:
    # Before torch is imported, and for the commands that tests start: processes share the processors as it is.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

if importlib.util.find_spec("beartype") is not None:
    import jaxtyping

    # The hook reaches what is imported after it, so it comes before any test file imports the package. PEP 484 has an
    # int be a float, and beartype by itself does not.
    jaxtyping.install_import_hook("panoptic", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")
