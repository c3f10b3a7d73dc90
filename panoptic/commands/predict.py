"""``python -m panoptic.predict``: segment images of any size, and write overlays and COCO panoptic PNG + JSON."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from omegaconf import DictConfig

from panoptic.errors import InputError, expect_at_least

if TYPE_CHECKING:
    from panoptic.data.bands import Reading
    from panoptic.inference.many import ImageFile
    from panoptic.inference.predictor import Predictor
    from panoptic.inference.result_folder import ResultFolder


def predict(config: DictConfig) -> None:
    """Predict as configured.

    Images that cannot be read are passed over, and listed at the end. Those that were predicted before, with the same
    checkpoint and settings, are not predicted again.

    Raises:
        InputError: If an option or the checkpoint cannot be used, or an image cannot be read; if none can, nothing is
            written.
    """
    from panoptic.data.bands import Reading
    from panoptic.data.images import find_images
    from panoptic.data.video import VideoReader, is_video
    from panoptic.inference.precision import check_precision
    from panoptic.inference.predictor import Predictor
    from panoptic.inference.result_folder import ResultFolder, settings_of
    from panoptic.inference.tiles import Tiling
    from panoptic.inference.tta import check_tta
    from panoptic.training.checkpoint import read_checkpoint
    from panoptic.training.run_lock import claimed
    from panoptic.training.runs import default_output
    from panoptic.utils.files import writable_folder

    check_tta(config.tta)
    check_precision(config.precision)
    Tiling.of(config.tile, config.overlap)
    if config.batch_size is not None:
        expect_at_least(1, batch_size=config.batch_size)
    film = is_video(config.input)
    files = [] if film else _image_files(find_images(config.input))
    checkpoint = read_checkpoint(config.checkpoint, config.overrides)
    if film:
        with VideoReader(config.input) as video:
            next(video.frames())  # nothing is written if there is none
    else:
        _check_readable(files, Reading.of_data(checkpoint.config.data))
    options = {key: config[key] for key in ("tta", "resolution", "precision", "tile", "overlap")}
    options["overlap"] = options["overlap"] if options["tile"] else None
    predictor = Predictor.load(checkpoint, compile=config.compile, **options)
    output = writable_folder(config.output or default_output(checkpoint.path, "predict"), "output")
    _check_apart(files, output)
    with claimed(output, "folder in which nobody predicts"):
        overlays, settings = config.visualize and not film, settings_of(checkpoint, options)
        folder = ResultFolder(output, predictor.labels, settings, overlays=overlays, anew=film)
        if film:
            failures, files = [], _predict_video(predictor, folder, config)
        else:
            failures = _predict(predictor, folder, files, config.batch_size)
    _print_counts(folder, files)
    if note := predictor.limit_note():
        print(f"note: {note}")
    print(f"results: {folder.folder}")
    if failures:
        _raise(failures, len(files))


def _predict(
    predictor: Predictor, folder: ResultFolder, files: Sequence[ImageFile], batch_size: int | None
) -> list[InputError]:
    """Predict the files that are not done, and return the errors of those that cannot be read."""
    from panoptic.commands.console import progress
    from panoptic.inference.many import Unread, predict_files

    pending = [file for file in files if not folder.is_done(file)]
    if len(pending) < len(files):
        print(f"predicted before, with the same settings: {len(files) - len(pending)} of {len(files)} images")
    failures = []
    try:
        with closing(predict_files(predictor, pending, folder.write, batch_size)) as results:
            for result in progress(results, "predicting images", len(pending)):
                if isinstance(result, Unread):
                    failures.append(result.error)
                else:
                    folder.note(result)
    except BaseException:
        with suppress(InputError):  # of a full disk, as the first
            folder.finish(files)
        raise
    folder.finish(files)
    return failures


def _predict_video(predictor: Predictor, folder: ResultFolder, config: DictConfig) -> list[ImageFile]:
    """Predict the frames of a video, and return them as files."""
    from panoptic.commands.console import progress
    from panoptic.data.video import VideoReader
    from panoptic.inference.video import predict_video

    files: list[ImageFile] = []
    try:
        with VideoReader(config.input) as video:
            overlays = folder.folder / f"{video.path.stem}_overlay.mp4" if config.visualize else None
            with closing(predict_video(predictor, video, folder, overlays, config.batch_size)) as results:
                for file, _ in progress(results, "predicting frames", video.expected):
                    files.append(file)
    except BaseException:
        with suppress(InputError):  # of a full disk, as the first
            folder.finish(files)
        raise
    folder.finish(files)
    return files


def _image_files(paths: Sequence[Path]) -> list[ImageFile]:
    """Name the outputs of image files."""
    from panoptic.data.images import output_names
    from panoptic.inference.many import ImageFile

    names = Counter(path.name for path in paths)
    common = os.path.commonpath([os.path.abspath(path.parent) for path in paths])
    return [
        ImageFile(path, name, path.name if names[path.name] == 1 else _below(common, path))
        for path, name in zip(paths, output_names(paths), strict=True)
    ]


def _below(folder: str, path: Path) -> str:
    """Return the path of a file relative to a folder that has it."""
    return Path(os.path.relpath(os.path.abspath(path), folder)).as_posix()


def _check_readable(files: Sequence[ImageFile], reading: Reading) -> None:
    """Raise if no file can be read."""
    failures = []
    for file in files:
        try:
            reading.read(file.path)
        except InputError as error:
            failures.append(error)
        else:
            return
    _raise(failures, len(files))


def _print_counts(folder: ResultFolder, files: Sequence[ImageFile]) -> None:
    """Print a table of the first images."""
    from panoptic.commands.console import PRINTED_ROWS, counts_row, print_counts

    done = [(file, record) for file in files if (record := folder.record(file)) is not None]
    rows = [counts_row(file.file_name, record["written"], folder.labels) for file, record in done[:PRINTED_ROWS]]
    print_counts(rows, len(done))


def _check_apart(files: Sequence[ImageFile], output: Path) -> None:
    """Raise if results would replace images that they are of."""
    taken = {(output / name).resolve() for name in ("panoptic", "overlays")}
    for file in files:
        if file.path.resolve().parent in taken:
            raise InputError(
                f"output={output}: expected a folder whose results replace no input, got the one of {file.path}"
            )


def _raise(failures: Sequence[InputError], images: int) -> NoReturn:
    """Report the images that could not be read."""
    if images == 1:
        raise failures[0]
    for failure in failures:
        print(f"left out: {failure}")
    raise InputError(
        f"input: expected {images} images that can be read, got {len(failures)} that cannot; they are listed above"
    )
