"""``python -m panoptic.evaluate``: score a checkpoint on a split, and write its predictions."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from omegaconf import DictConfig, OmegaConf

from panoptic.config.schema import EvaluateConfig


def evaluate(config: DictConfig) -> Path:
    """Evaluate as configured, and return the folder with the results.

    Raises:
        InputError: If an option, the checkpoint or the data cannot be used.
    """
    from panoptic.analysis.evaluation import evaluate_checkpoint
    from panoptic.commands.console import print_evaluation, progress

    evaluated = evaluate_checkpoint(cast(EvaluateConfig, OmegaConf.to_object(config)), progress)
    print_evaluation(evaluated)
    return evaluated.folder
