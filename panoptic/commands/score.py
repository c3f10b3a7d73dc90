"""Command ``python -m panoptic.score``: score saved predictions in COCO panoptic format, without a model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from panoptic.errors import InputError


def score(config: DictConfig) -> None:
    """Score predictions against their ground truth, and write the scores.

    Raises:
        InputError: If an input is invalid; nothing is written in that case.
    """
    from panoptic.analysis.scoring import RowWriter, Worst, score_pairs, scoring_settings
    from panoptic.commands.console import print_errors, print_table, progress
    from panoptic.config.schema import ScoreConfig
    from panoptic.data.coco.pairs import PredictionPairs
    from panoptic.metrics.display import narrow_remark, score_rows, summary_columns
    from panoptic.metrics.per_image import Evaluation
    from panoptic.utils.files import output_folder, write_json

    if config.missing not in ("error", "count_as_empty"):
        raise InputError(f"missing: expected error or count_as_empty, got {config.missing!r}")
    options = OmegaConf.to_object(config)
    assert isinstance(options, ScoreConfig)
    settings = scoring_settings(options)
    output = _output(config.output, (config.ground_truth, config.predictions))
    pairs = PredictionPairs(
        config.ground_truth,
        config.predictions,
        ground_truth_dir=config.ground_truth_dir,
        predictions_dir=config.predictions_dir,
        count_as_empty=config.missing == "count_as_empty",
    )
    if pairs.missing:
        print(f"{pairs.missing} of {len(pairs)} images have no prediction, and count as empty")
    if pairs.ignored:
        print(f"{pairs.ignored} predictions are for images that the ground truth lacks, and are left out")
    rows_file = None if output is None else output.with_name(f"{output.stem}_per_image.csv")

    evaluation, worst = Evaluation(pairs.labels, settings), Worst(config.worst)
    with (
        output_folder(None if output is None else output.parent),
        RowWriter(rows_file, pairs.labels) as rows,
        closing(score_pairs(pairs, settings, config.workers)) as scored,
    ):
        for image_id, file_name, scores in progress(scored, "scoring images", len(pairs)):
            evaluation.add(scores)
            worst.add(rows.add(image_id, file_name, scores))
        result = evaluation.result()
        if output is not None:  # before the rows are moved to their final path, so that both files appear or neither
            inputs = {"ground_truth": str(pairs.truth_json), "predictions": str(pairs.prediction_json)}
            about = {"without_prediction": pairs.missing, "categories": pairs.labels.to_dicts()}
            write_json(output, inputs | about | result)
    found = evaluation.scores()
    remark = narrow_remark(found)
    print_table(f"{len(pairs)} images", score_rows(found, pairs.labels, summary_columns(found)))
    for note in (settings.note(pairs.labels), remark):
        if note:
            print(note)
    print_errors(result["errors"])
    if config.worst:
        lowest = worst.rows(("boundary_pq",) if remark else ())
        print_table(f"the {len(lowest)} images with the lowest PQ", lowest)
    if output is not None:
        print(f"results: {output}, {rows_file}")


def _output(given: str | None, inputs: Sequence[str]) -> Path | None:
    """Return the path of the JSON file to write.

    Raises:
        InputError: If the path is a folder or one of the inputs, or does not end in .json.
    """
    if given is None:
        return None
    path = Path(given).expanduser()
    if path.is_dir() or path.suffix.lower() != ".json":
        reason = "a folder" if path.is_dir() else "another name"
        raise InputError(f"output={given}: expected the name of a .json file, got {reason}")
    if path.resolve() in [Path(name).expanduser().resolve() for name in inputs]:
        raise InputError(f"output={given}: expected a file of its own, got one that is to be read")
    return path
