"""Command ``python -m panoptic.scenes``: write synthetic street scenes as a data set on disk."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from omegaconf import DictConfig

from panoptic.errors import InputError


def scenes(config: DictConfig) -> None:
    """Write a data set of synthetic scenes.

    Raises:
        InputError: If an input is invalid.
    """
    from panoptic.commands.console import progress
    from panoptic.data.sample import SPLITS
    from panoptic.errors import expect_at_least
    from panoptic.scenes.export import FORMATS
    from panoptic.scenes.source import GENERATORS, SyntheticSource
    from panoptic.utils.files import writable_folder

    if config.format not in FORMATS:
        raise InputError(f"format: expected {' or '.join(FORMATS)}, got {config.format!r}")
    sizes = {split: config[f"{split}_size"] for split in SPLITS}
    expect_at_least(0, scenes_seed=config.scenes_seed, **{f"{split}_size": size for split, size in sizes.items()})
    expect_at_least(32, height=config.height, width=config.width)
    if config.generator not in GENERATORS:
        raise InputError(f"generator: expected one of {', '.join(map(str, GENERATORS))}, got {config.generator}")
    root = Path(config.output).expanduser()
    if root.is_dir() and any(root.iterdir()):
        raise InputError(f"output={config.output}: expected a new or an empty folder, got one that holds files")
    writable_folder(config.output, "output")
    for split, size in sizes.items():
        if size > 0:
            size_of = {"size": size, "height": config.height, "width": config.width}
            source = SyntheticSource(split, seed=config.scenes_seed, generator=config.generator, **size_of)
            with closing(FORMATS[config.format](root, source, config.workers)) as written:
                for _ in progress(written, f"writing {split} scenes", size):
                    pass
    print(f"data set: {root}\ntrain on it: python -m panoptic.train data={config.format} data.root={root}")
