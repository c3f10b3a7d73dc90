"""The dashboard by each logger: offline, in the folder of the run."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from lightning.pytorch.loggers import CSVLogger
from omegaconf import DictConfig, OmegaConf

from panoptic.config.composing import with_hydra
from panoptic.errors import InputError
from panoptic.training import dashboard
from panoptic.training.dashboard import begin, build_logger, ending, hint, log_picture, log_summary, takes_pictures

PICTURE = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)


def configured(logger: str) -> DictConfig:
    from hydra import compose

    with with_hydra():
        whole = compose("train", [f"logger={logger}", "name=trial"])
    return OmegaConf.create({"name": whole.name, "logger": OmegaConf.to_container(whole.logger)})


@pytest.mark.parametrize("package", ["wandb", "mlflow"])
def test_a_missing_package_is_told_with_its_extra(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "find_spec", lambda name: None)
    expected = rf"^logger={package}: expected the package {package}, got none; .*panoptic-adaptive-fusion\[{package}\]"
    with pytest.raises(InputError, match=expected):
        build_logger(configured(package), tmp_path)


def test_none_logs_nothing(tmp_path: Path) -> None:
    assert build_logger(configured("none"), tmp_path) is None
    begin(None, tmp_path, {"a": 1})
    log_summary(None, {"a": 1}, {"pq": 0.5}, 3)
    log_picture(None, "a", PICTURE, 0)
    assert hint(None, tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_table_has_the_scores_and_one_that_goes_on_does_not_replace_it(tmp_path: Path) -> None:
    for first_step, name in ((0, "csv"), (7, "csv_7")):
        logger = build_logger(configured("csv"), tmp_path, first_step)
        assert isinstance(logger, CSVLogger)
        begin(logger, tmp_path, {"data.crop": 3})
        log_picture(logger, "train/input", PICTURE, 0)  # which it does not take
        log_summary(logger, {}, {"final/pq": 0.25}, first_step + 7)
        logger.save()
        with (tmp_path / name / "metrics.csv").open() as file:
            assert list(csv.DictReader(file)) == [{"final/pq": "0.25", "step": str(first_step + 7)}]
        assert "data.crop: 3" in (tmp_path / name / "hparams.yaml").read_text()
        assert hint(logger, tmp_path) == str(tmp_path / name)
    assert not takes_pictures(logger)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_mlflow_gets_numbers_and_pictures_and_a_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    runs = []
    for first_step in (0, 7):
        logger = build_logger(configured("mlflow"), tmp_path, first_step)
        begin(logger, tmp_path, {"seed": 1, "epochs": first_step})
        with ending(logger):
            log_picture(logger, "train/input", PICTURE, first_step)
            log_summary(logger, {}, {"final/pq": 0.25}, first_step + 7)
        logger.finalize("success")
        runs.append(logger.run_id)
    assert runs[0] == runs[1] == json.loads((tmp_path / "logger.json").read_text())["id"]
    client = logger.experiment
    run = client.get_run(runs[0])
    assert (run.info.run_name, run.info.status) == ("trial", "FINISHED")
    assert run.data.params == {"seed": "1", "epochs": "0"}
    assert [m.step for m in client.get_metric_history(runs[0], "final/pq")] == [7, 14]
    assert len(list((tmp_path / "mlruns").rglob("images/*.png"))) == 2
    assert takes_pictures(logger)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_wandb_gets_numbers_and_pictures_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    for first_step in (0, 7):
        logger = build_logger(configured("wandb"), tmp_path, first_step)
        begin(logger, tmp_path, {"seed": 1, "epochs": first_step})
        run = logger.experiment
        with ending(logger):
            log_picture(logger, "train/input", PICTURE, first_step)
            log_summary(logger, {}, {"final/pq": 0.25}, first_step + 7)
            assert dict(run.config) == {"seed": 1, "epochs": first_step}
            assert (run.name, run.project, run.summary["final/pq"]) == ("trial", "panoptic", 0.25)
        assert wandb.run is None
        assert run.id == json.loads((tmp_path / "logger.json").read_text())["id"]
        (picture,) = (tmp_path / "wandb" / "latest-run").rglob("train/input*.png")
        assert picture.stat().st_size > 0
    assert takes_pictures(logger)


def test_a_damaged_record_of_the_service_is_told(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    (tmp_path / "logger.json").write_text('{"id": 3}')
    with pytest.raises(InputError, match=r"logger.json: expected the logger of the run and its id, got: 'logger'"):
        build_logger(configured("wandb"), tmp_path, 5)
