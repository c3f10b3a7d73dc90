"""Whether the Hugging Face Hub can be reached, asked once and quickly."""

from __future__ import annotations

import urllib.error
import urllib.request

PROBE_SECONDS = 4.0
"""Timeout for a response of the hub, in seconds."""


def unreachable_reason() -> str | None:
    """Return why the hub cannot be reached, or ``None`` if it answers.

    The hub's own client retries for most of a minute before it fails.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "which is switched off (HF_HUB_OFFLINE)"
    try:
        request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
        urllib.request.urlopen(request, timeout=PROBE_SECONDS).close()
    except urllib.error.HTTPError:
        return None  # the hub answers
    except OSError as error:
        return f"which does not answer ({getattr(error, 'reason', error)})"
    return None
