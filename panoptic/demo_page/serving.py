"""Server of the page: what it answers, what it takes, and where it listens."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Sequence
from typing import Any

from panoptic.demo_page.answers import Answers
from panoptic.demo_page.examples import Example
from panoptic.demo_page.layout import build_page, import_gradio, page_css, page_head
from panoptic.errors import InputError

OPEN_PATHS = re.compile(
    r"/|/config|/theme\.css|/favicon\.ico|/manifest\.json|/robots\.txt|/(assets|static|svelte)/.*"
    r"|/gradio_api/(startup-events|app_id|info|theme\.css|reset|cancel|queue/(join|data)|heartbeat/[^/]+)/?"
)
"""What the page needs of Gradio's server. Files are neither stored nor given out by it."""

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "base-uri 'self'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
)
"""What browsers may load: nothing from another server. Gradio compiles its events' scripts in the browser."""

GRACE = 2
"""Seconds that open connections get when the server ends."""


class Gate:
    """ASGI application that passes on what the page needs, in bounded requests, and lets pages load nothing foreign.

    Args:
        app: Application behind it.
        largest: Number of bytes of the largest request.
    """

    def __init__(self, app: Any, largest: int) -> None:
        self.app = app
        self.largest = largest

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":  # no sockets
            return None
        if not OPEN_PATHS.fullmatch(scope["path"]):
            return await _refuse(send, 404)
        lengths = [value for name, value in scope["headers"] if name == b"content-length"]
        chunked = any(name == b"transfer-encoding" for name, _ in scope["headers"])
        # Nobody knows where a request without its length ends; browsers give it.
        if chunked or (scope["method"] == "POST" and not lengths):
            return await _refuse(send, 411)
        if any(int(value) > self.largest for value in lengths):
            return await _refuse(send, 413)

        async def send_with_policy(event: dict[str, Any]) -> None:
            if event["type"] == "http.response.start":
                event["headers"] = [*event.get("headers", []), *HEADERS]
            await send(event)

        return await self.app(scope, receive, send_with_policy)


HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


async def _refuse(send: Any, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"not here\n" if status == 404 else b"too large\n"})


def build_app(answers: Answers, examples: Sequence[Example]) -> Gate:
    """Build the application of the page.

    Args:
        answers: Answers to what a visitor does.
        examples: Images to try it with.

    Raises:
        InputError: If Gradio is not installed.
    """
    return asyncio.run(_build(answers, examples))


async def _build(answers: Answers, examples: Sequence[Example]) -> Gate:
    """Build the application where a loop of events runs: elsewhere Gradio makes some, and leaves them open."""
    gr = import_gradio()
    from fastapi import FastAPI

    page = build_page(answers, examples)
    app = gr.mount_gradio_app(
        FastAPI(openapi_url=None),
        page,
        "/",
        show_error=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        enable_monitoring=False,
        footer_links=[],
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        css=page_css(examples),
        head=page_head(),
    )
    return Gate(app, answers.limits.request)


def listen(host: str, port: int) -> socket.socket:
    """Open the socket of the server.

    Args:
        host: Name or address of this machine to listen on.
        port: Port; 0 takes a free one.

    Raises:
        InputError: If it cannot be had.
    """
    if not 0 <= port < 2**16:
        raise InputError(f"port: expected 0 to 65535, got {port}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"host={host} port={port}: expected an address that is free, got: {reason}") from None


def server_of(app: Any) -> Any:
    """Return the server of an ASGI application, ``uvicorn.Server``."""
    import uvicorn

    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=GRACE
    )
    return uvicorn.Server(config)
