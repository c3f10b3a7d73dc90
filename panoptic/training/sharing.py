"""Sharing of trained networks through the Hugging Face Hub, and the card that goes with them.

The hub's client is used function by function rather than through ``ModelHubMixin``, which passes keys of a downloaded
``config.json`` on as arguments of a constructor. Here, a file from a stranger gives nothing but a configuration, which
is checked (:mod:`panoptic.config.targets`). The functions have the names and arguments of the mixin.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from panoptic.errors import InputError
from panoptic.labels import Category
from panoptic.training.checkpoint import HUB, Checkpoint, read_checkpoint
from panoptic.training.pretrained import CONFIG_FILE, WEIGHTS_FILE, write_pretrained
from panoptic.utils.hub import unreachable_reason

SCORES = {
    "pq": "PQ",
    "pq_things": "PQ of things",
    "pq_stuff": "PQ of stuff",
    "boundary_f1": "boundary F1",
    "mean_iou": "mean IoU",
}
"""Scores in the card, by their name in the logs."""


def from_pretrained(
    source: str | Path, overrides: Iterable[str] = (), revision: str | None = None, token: str | None = None
) -> Checkpoint:
    """Read a shared network from a folder or a repository.

    Args:
        source: Folder, file of a checkpoint, or id of a repository such as ``user/name``, also as ``hf://user/name``.
            What exists as a path is one.
        overrides: Overrides of its configuration, in Hydra's syntax.
        revision: Branch, tag or commit of the repository.
        token: Token of the hub, by default the one that its client has stored.

    Raises:
        InputError: If there is no such folder or repository, the hub cannot be reached, or the content cannot be used.
    """
    name = str(source)
    path = Path(source).expanduser()
    if name.startswith(HUB) or not path.exists():
        path = download(name.removeprefix(HUB), revision, token)
    return read_checkpoint(path, list(overrides))


def download(repo_id: str, revision: str | None = None, token: str | None = None) -> Path:
    """Download configuration and weights of a repository into the hub's cache, and return their folder.

    Raises:
        InputError: If the repository does not exist, has not these files, or cannot be reached.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    expected = f"{repo_id}: expected a folder, a checkpoint or a repository of the model hub (user/name)"
    if repo_id.count("/") != 1 or repo_id.startswith((".", "/", "~")):
        raise InputError(f"{expected}, got none of that name")
    try:
        cached = [try_to_load_from_cache(repo_id, file, revision=revision) for file in (CONFIG_FILE, WEIGHTS_FILE)]
    except HFValidationError as error:
        raise InputError(f"{expected}, got: {error}") from None
    if (reason := unreachable_reason()) is not None:
        if all(isinstance(file, str) for file in cached):
            return Path(str(cached[0])).parent
        raise InputError(f"{repo_id}: expected to get it from the model hub, {reason}")
    try:
        files = [
            Path(hf_hub_download(repo_id, file, revision=revision, token=token)) for file in (CONFIG_FILE, WEIGHTS_FILE)
        ]
    except EntryNotFoundError:
        raise InputError(f"{repo_id}: expected {CONFIG_FILE} and {WEIGHTS_FILE} in the repository, got none") from None
    except RepositoryNotFoundError:
        raise InputError(f"{expected}, got none of that name, or one that is not public") from None
    except (HfHubHTTPError, OSError) as error:
        raise InputError(f"{repo_id}: expected to get it from the model hub, got: {_first_line(error)}") from None
    return files[0].parent


def save_pretrained(checkpoint: Checkpoint, folder: str | Path, repo_id: str | None = None) -> Path:
    """Write configuration, weights and card of a checkpoint into a folder, which can be shared as it is.

    Args:
        checkpoint: Checkpoint to share.
        folder: Folder to write.
        repo_id: Name in the card's example; by default that of the folder.

    Raises:
        InputError: If the folder cannot be written.
    """
    return write_pretrained(checkpoint, folder, model_card(checkpoint, repo_id or Path(folder).name))


def push_to_hub(
    checkpoint: Checkpoint,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | None = None,
    commit_message: str = "Upload a panoptic network",
) -> str:
    """Upload a checkpoint to a repository, which is created if it does not exist.

    Args:
        checkpoint: Checkpoint to share.
        repo_id: Id of the repository, ``user/name``.
        private: Whether a new repository is private; by default as the account has it.
        token: Token of the hub, by default the one that its client has stored.
        commit_message: Message of the commit.

    Returns:
        Address of the commit.

    Raises:
        InputError: If the hub cannot be reached or refuses it.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if (reason := unreachable_reason()) is not None:
        raise InputError(f"{repo_id}: expected to upload to the model hub, {reason}")
    api = HfApi(token=token)
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(checkpoint, folder, repo_id)
        try:
            created = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
            commit = api.upload_folder(repo_id=created, folder_path=folder, commit_message=commit_message)
        except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
            raise InputError(f"{repo_id}: expected to upload to the model hub, got: {_first_line(error)}") from None
    return str(commit.commit_url)


def model_card(checkpoint: Checkpoint, repo_id: str) -> str:
    """Return the text of a model card, with what the checkpoint and its run say."""
    from huggingface_hub import ModelCardData

    scores = {key: checkpoint.best_scores[f"val/{key}"] for key in SCORES if f"val/{key}" in checkpoint.best_scores}
    summary = _summary_of(checkpoint.path)
    metadata = ModelCardData(
        library_name="panoptic-adaptive-fusion",
        pipeline_tag="image-segmentation",
        tags=["panoptic-segmentation", "image-segmentation"],
    )
    trained, categories = checkpoint.config, checkpoint.labels.categories
    model, data = trained.model, trained.data
    fusion = str(model.fusion._target_).rpartition(".")[2]
    lines = [
        f"---\n{metadata.to_yaml()}\n---\n",
        f"# {repo_id.rpartition('/')[2]}\n",
        f"Panoptic segmentation: {model.backbone.name}, {fusion}, {len(categories)} categories.\n",
        f'```python\nfrom panoptic import Predictor\n\npredictor = Predictor.from_pretrained("{repo_id}")\n```\n',
        "## Categories\n",
        f"Things: {_names(categories, True)}.\nStuff: {_names(categories, False)}.\n",
        "## Training\n",
        f"Experiment {trained.name}, seed {trained.seed}: {checkpoint.steps} steps of {data.batch_size} crops of "
        f"{data.crop[0]}x{data.crop[1]}, backbone from {Path(checkpoint.backbone_weights).name} weights"
        f"{summary}. The whole configuration is in `{CONFIG_FILE}`.\n",
        "## Scores of the best checkpoint of the run on its validation split\n",
    ]
    if scores:
        lines.append("| " + " | ".join(SCORES[key] for key in scores) + " |\n" + "|---" * len(scores) + "|")
        lines.append("| " + " | ".join(f"{value:.4f}" for value in scores.values()) + " |\n")
    else:
        lines.append("None are known.\n")
    return "\n".join(lines)


def _names(categories: Iterable[Category], is_thing: bool) -> str:
    return ", ".join(category.name for category in categories if category.isthing == is_thing) or "none"


def _summary_of(path: Path) -> str:
    """Return device and time of the run that a checkpoint lies in, if its summary is there."""
    file = path.resolve().parent.parent / "summary.json"
    try:
        summary: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return f", {summary['seconds'] / 60:.0f} minutes on {summary['device']} in {summary['precision']}"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
