"""``python -m panoptic.demo``: a web page that segments the images dropped on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omegaconf import DictConfig

from panoptic.errors import InputError

if TYPE_CHECKING:
    from panoptic.demo_page.uploads import Limits


def demo(config: DictConfig) -> None:
    """Serve the page until the process is ended.

    Raises:
        InputError: If an option or a checkpoint cannot be used, Gradio is not installed, or the address is taken.
    """
    from panoptic.demo_page.layout import import_gradio

    limits = _limits(config.max_upload, config.max_pixels)
    import_gradio()  # before a checkpoint is read, which takes longer
    from panoptic.demo_page.answers import Answers
    from panoptic.demo_page.examples import examples
    from panoptic.demo_page.networks import load_network
    from panoptic.demo_page.serving import build_app, listen, server_of

    sources = [config.checkpoint] + ([config.compare_with] if config.compare_with is not None else [])
    answers = Answers([load_network(source, config.overrides) for source in sources], limits)
    app = build_app(answers, examples())
    with listen(config.host, config.port) as opened:
        host = f"[{config.host}]" if ":" in config.host else config.host
        print(f"page: http://{host}:{opened.getsockname()[1]} (Ctrl-C ends it)", flush=True)
        server_of(app).run([opened])


def _limits(max_upload: float, max_pixels: float) -> Limits:
    from panoptic.demo_page.uploads import MEGA, Limits

    for key, value in (("max_upload", max_upload), ("max_pixels", max_pixels)):
        if not 0 < value < 1e6:
            raise InputError(f"{key}: expected a number of millions above 0, got {value:g}")
    return Limits(round(max_upload * MEGA), round(max_pixels * MEGA))
