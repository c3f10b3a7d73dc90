"""``python -m panoptic.predict``: segment images of any size, and write overlays and COCO panoptic PNG + JSON."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from omegaconf import DictConfig

from panoptic.errors import InputError, expect_at_least
from panoptic.utils.remote import full_url, is_remote, joined, without_local_protocol

if TYPE_CHECKING:
    from panoptic.data.bands import Reading
    from panoptic.data.sources import Source
    from panoptic.inference.many import ImageFile, Unread
    from panoptic.inference.predictor import Predictor
    from panoptic.inference.remote_results import RemoteResultFolder
    from panoptic.inference.result_folder import ResultFolder
    from panoptic.inference.result_writer import Record

    Results = Generator[Record | Unread, None, None]

ENGINES = ("plain", "ray")


def predict(config: DictConfig) -> None:
    """Predict as configured.

    Images that cannot be read are passed over, and listed at the end. Those that were predicted before, with the same
    checkpoint and settings, are not predicted again.

    Raises:
        InputError: If an option or the checkpoint cannot be used, or an image cannot be read; if none can, nothing is
            written.
    """
    from panoptic.data.bands import Reading
    from panoptic.data.sources import find_sources
    from panoptic.data.video import VideoReader
    from panoptic.inference.predictor import Predictor
    from panoptic.inference.remote_results import RemoteResultFolder
    from panoptic.inference.result_folder import ResultFolder, settings_of
    from panoptic.training.checkpoint import read_checkpoint
    from panoptic.training.runs import default_output

    _check_options(config)
    film = _check_engine(config)
    sources = [] if film else find_sources(config.input)
    _check_shared(config, sources)
    checkpoint = read_checkpoint(config.checkpoint, config.overrides)
    target = config.output or default_output(checkpoint.path, "predict")
    files = _image_files(_without_results(sources, target)) if sources else []
    reading = Reading.of_data(checkpoint.config.data)
    if film:
        reading.expect_color(f"input={config.input}", "a video")
        with VideoReader(without_local_protocol(config.input)) as video:
            next(video.frames())  # nothing is written if there is none
    else:
        _check_readable(files, reading)
    options = {key: config[key] for key in ("tta", "resolution", "precision", "tile", "overlap")}
    options["overlap"] = options["overlap"] if options["tile"] else None
    distributed = config.engine == "ray"
    # Ray's workers have networks of their own; this one finds out whether the options can be used.
    device, compiled = ("cpu", False) if distributed else (None, config.compile)
    predictor = Predictor.load(checkpoint, device=device, compile=compiled, **options)
    with ExitStack() as stack:
        predict_files = stack.enter_context(_predictor_of_files(config, predictor, options))
        output = _output(target)
        _check_apart(files, output)
        stack.enter_context(_claimed(output))
        overlays, settings = config.visualize and not film, settings_of(checkpoint, options)
        folder: ResultFolder | RemoteResultFolder
        if isinstance(output, str):
            folder = RemoteResultFolder(output, predictor.labels, settings, overlays=overlays)
        else:
            folder = ResultFolder(output, predictor.labels, settings, overlays=overlays, anew=film)
        if film:
            assert isinstance(folder, ResultFolder)  # the engine has been checked
            failures, files = [], _predict_video(predictor, folder, config)
        else:
            failures = _predict(folder, files, predict_files)
    _print_counts(folder, files)
    if note := predictor.limit_note():
        print(f"note: {note}")
    print(f"results: {folder.folder}")
    if failures:
        _raise(failures, len(files))


def _check_options(config: DictConfig) -> None:
    """Raise if an option is out of range."""
    from panoptic.inference.precision import check_precision
    from panoptic.inference.tiles import Tiling
    from panoptic.inference.tta import check_tta

    check_tta(config.tta)
    check_precision(config.precision)
    Tiling.of(config.tile, config.overlap)
    if config.batch_size is not None:
        expect_at_least(1, batch_size=config.batch_size)


def _check_engine(config: DictConfig) -> bool:
    """Check the engine and what goes with it, and return whether the input is a video.

    Raises:
        InputError: If the engine is unknown or not installed, or cannot take the other options.
    """
    from panoptic.data.video import SUFFIXES, is_video

    if config.engine not in ENGINES:
        raise InputError(f"engine: expected {' or '.join(ENGINES)}, got {config.engine!r}")
    if config.workers is not None:
        expect_at_least(1, workers=config.workers)
        if config.engine != "ray":
            raise InputError(f"workers={config.workers}: expected engine=ray with it, got engine={config.engine}")
    remote = [key for key in ("input", "output") if config[key] is not None and is_remote(config[key])]
    if config.engine == "ray":
        from panoptic.inference.ray_engine import check_ray

        check_ray()
        for key in remote:
            _check_reachable(f"{key}={config[key]}", config[key])
    if "input" in remote:
        if config.input.lower().endswith(SUFFIXES):
            raise InputError(f"input={config.input}: expected a video on this machine, got the URL of one elsewhere")
        return False
    film = is_video(without_local_protocol(config.input))
    if film and config.engine == "ray":
        raise InputError(f"engine=ray: expected images, got a video, whose frames follow each other: {config.input}")
    if film and "output" in remote:
        raise InputError(f"output={config.output}: expected a folder on this machine for a video, got a URL")
    return film


def _check_shared(config: DictConfig, sources: Sequence[Source]) -> None:
    """Raise if Ray's workers do not have an image."""
    if config.engine == "ray":
        for source in sources:
            _check_reachable(f"input={config.input}", source)


def _check_reachable(name: str, path: Path | str) -> None:
    """Raise if other processes do not have a file or folder."""
    if isinstance(path, str) and path.startswith("memory://"):
        raise InputError(f"{name}: expected files that Ray's workers reach, got {path}, of this process alone")


def _output(given: str | Path) -> Path | str:
    """Return the folder to write to, which is made, or the URL of a remote one, which has been tried."""
    from panoptic.inference.remote_results import check_writable
    from panoptic.utils.files import writable_folder

    if is_remote(given):
        check_writable(str(given))
        return full_url(str(given))
    return writable_folder(without_local_protocol(str(given)), "output")


@contextmanager
def _claimed(output: Path | str) -> Iterator[None]:
    """Hold the lock of the output folder; one elsewhere has none."""
    from panoptic.training.run_lock import claimed

    with nullcontext() if isinstance(output, str) else claimed(output, "folder in which nobody predicts"):
        yield


@contextmanager
def _predictor_of_files(
    config: DictConfig, predictor: Predictor, options: dict[str, Any]
) -> Iterator[Callable[[ResultFolder | RemoteResultFolder, Sequence[ImageFile]], Results]]:
    """Yield what predicts files and writes their results, in this process or in Ray's, which then is connected."""
    from panoptic.inference.many import predict_files

    if config.engine == "plain":
        yield lambda folder, files: predict_files(predictor, files, folder.writer, config.batch_size)
        return
    from panoptic.inference.ray_engine import check_shared, connected, predict_with_ray

    checkpoint = predictor.checkpoint
    assert checkpoint is not None  # it was loaded from one
    every = {**options, "compile": config.compile}

    def in_workers(folder: ResultFolder | RemoteResultFolder, files: Sequence[ImageFile]) -> Results:
        written = []
        with closing(predict_with_ray(checkpoint, files, folder.writer, every, pool, config.batch_size)) as results:
            for result, limited in results:
                predictor.limited += limited
                if isinstance(result, dict):
                    written.append(result["name"])
                yield result
        if isinstance(folder.folder, Path):
            check_shared(folder.folder, written)

    size = sum(tensor.nbytes for tensor in checkpoint.weights.values())
    with connected(config.workers, size) as pool:
        yield in_workers


def _predict(
    folder: ResultFolder | RemoteResultFolder,
    files: Sequence[ImageFile],
    predict_files: Callable[[ResultFolder | RemoteResultFolder, Sequence[ImageFile]], Results],
) -> list[InputError]:
    """Predict the files that are not done, and return the errors of those that cannot be read, in order."""
    from panoptic.commands.console import progress
    from panoptic.inference.many import Unread

    pending = [file for file in files if not folder.is_done(file)]
    if len(pending) < len(files):
        print(f"predicted before, with the same settings: {len(files) - len(pending)} of {len(files)} images")
    failures = {}
    try:
        if pending:
            folder.begin()
        with closing(predict_files(folder, pending)) as results:
            for result in progress(results, "predicting images", len(pending)):
                if isinstance(result, Unread):
                    failures[result.file] = result.error
                else:
                    folder.note(result)
    except BaseException:
        with suppress(InputError):  # of a full disk, as the first
            folder.finish(files)
        raise
    folder.finish(files)
    return [failures[file] for file in files if file in failures]


def _predict_video(predictor: Predictor, folder: ResultFolder, config: DictConfig) -> list[ImageFile]:
    """Predict the frames of a video, and return them as files."""
    from panoptic.commands.console import progress
    from panoptic.data.video import VideoReader
    from panoptic.inference.video import predict_video

    files: list[ImageFile] = []
    try:
        folder.begin()
        with VideoReader(without_local_protocol(config.input)) as video:
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


def _without_results(sources: Sequence[Source], output: str | Path) -> Sequence[Source]:
    """Leave out what an earlier prediction wrote into the same folder, which a pattern such as ``**/*.png`` matches."""
    from panoptic.inference.result_folder import PROGRESS
    from panoptic.inference.result_writer import OVERLAYS, PANOPTIC

    if is_remote(output) or not (folder := Path(without_local_protocol(str(output)))).joinpath(PROGRESS).is_file():
        return sources
    written = {(folder / kind).resolve() for kind in (PANOPTIC, OVERLAYS)}
    kept = [source for source in sources if isinstance(source, str) or source.resolve().parent not in written]
    if not kept or len(kept) == len(sources):
        return sources
    print(f"passed over: {len(sources) - len(kept)} images in {folder} that an earlier prediction wrote")
    return kept


def _image_files(sources: Sequence[Source]) -> list[ImageFile]:
    """Name the outputs of image files."""
    from panoptic.data.images import output_names
    from panoptic.data.sources import naming_path
    from panoptic.inference.many import ImageFile

    paths = [naming_path(source) for source in sources]
    names = Counter(path.name for path in paths)
    common = os.path.commonpath([os.path.abspath(path.parent) for path in paths])
    return [
        ImageFile(source, name, path.name if names[path.name] == 1 else _below(common, path))
        for source, path, name in zip(sources, paths, output_names(paths), strict=True)
    ]


def _below(folder: str, path: Path) -> str:
    """Return the path of a file relative to a folder that has it."""
    return Path(os.path.relpath(os.path.abspath(path), folder)).as_posix()


def _check_readable(files: Sequence[ImageFile], reading: Reading) -> None:
    """Raise if no file can be read."""
    from panoptic.data.sources import read_source

    failures = []
    for file in files:
        try:
            read_source(reading, file.path)
        except InputError as error:
            failures.append(error)
        else:
            return
    _raise(failures, len(files))


def _print_counts(folder: ResultFolder | RemoteResultFolder, files: Sequence[ImageFile]) -> None:
    """Print a table of the first images."""
    from panoptic.commands.console import PRINTED_ROWS, counts_row, print_counts

    done = [(file, record) for file in files if (record := folder.record(file)) is not None]
    rows = [counts_row(file.file_name, record["written"], folder.labels) for file, record in done[:PRINTED_ROWS]]
    print_counts(rows, len(done))


def _check_apart(files: Sequence[ImageFile], output: Path | str) -> None:
    """Raise if results would replace images that they are of."""
    from panoptic.inference.result_writer import OVERLAYS, PANOPTIC

    taken: set[Path | str]
    kinds = (PANOPTIC, OVERLAYS)
    taken = {full_url(joined(output, k)) if isinstance(output, str) else (output / k).resolve() for k in kinds}
    for file in files:
        path = file.path
        if (path.rpartition("/")[0] if isinstance(path, str) else path.resolve().parent) in taken:
            raise InputError(
                f"output={output}: expected a folder whose results replace no input, got the one of {path}"
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
