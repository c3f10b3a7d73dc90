"""Images that cannot be read while a run goes on."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path

import pytest

from panoptic.commands.app import command
from panoptic.commands.evaluate import evaluate
from panoptic.commands.scenes import scenes
from panoptic.data import loader
from panoptic.data.bands import Reading
from panoptic.data.batch import TrainingDataset
from panoptic.data.images import find_images, read_image
from panoptic.data.loader import LeftOut
from panoptic.data.sample import Unreadable
from panoptic.data.sampler import SampleKey
from panoptic.errors import InputError
from tests.reliability.faulty_data import FaultyData
from tests.reliability.tiny_runs import TINY, refused, run, summary


def names(batches) -> list[tuple[str, ...]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [batch.names for batch in batches]


@pytest.mark.parametrize("workers", [0, 1])
def test_it_is_an_error_that_names_the_file(workers):
    data = FaultyData(8, {5}, workers=workers)
    for batches in (data.train_dataloader(), data.val_dataloader()):
        with pytest.raises(InputError) as error:
            list(batches)
        assert str(error.value) == "5.png: expected an image, got an empty file"


def test_so_is_one_that_the_system_cannot_read():
    def act(index: int) -> None:
        if index == 3:
            raise PermissionError(13, "Permission denied", "3.png")

    with pytest.raises(InputError, match=r"^3.png: expected to read it, got: Permission denied$"):
        list(FaultyData(8, act=act, workers=1).val_dataloader())


def test_in_training_the_next_takes_its_place_whatever_reads_it_and_after_a_resume(monkeypatch):
    """The second of two in a row is replaced too, and the last by the first."""
    monkeypatch.setattr(loader, "SHARE_LEFT_OUT", 0.1)
    bad = {20, 21, 39}
    sound = [int(name) for batch in names(FaultyData(40).train_dataloader()) for name in batch]
    expected = [{20: 22, 21: 22, 39: 0}.get(index, index) for index in sound]
    for workers in (0, 2):
        data = FaultyData(40, bad, on_error="skip", workers=workers)
        assert [int(n) for batch in names(data.train_dataloader()) for n in batch] == expected
        assert set(data.left_out["train"].reasons) == bad
    resumed = FaultyData(40, bad, on_error="skip")
    resumed.first_batch = 3
    assert [int(n) for batch in names(resumed.train_dataloader()) for n in batch] == expected[12:]


def test_the_sample_in_its_place_is_a_function_of_the_key():
    source = FaultyData(300, {7}).train_source
    dataset = TrainingDataset(source, (32, 32), (0.5, 2.0), skip=True)
    key = SampleKey(seed=1, visit=2, index=7, strength=1.0)
    one, other = dataset[key], TrainingDataset(source, (32, 32), (0.5, 2.0))[key._replace(index=8)]
    assert (one.image == other.image).all()
    assert one.replaces == (Unreadable(7, "7.png: expected an image, got an empty file"),)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # Python 3.12 and later
@pytest.mark.parametrize("workers", [0, 1])
def test_in_evaluation_it_is_left_out_and_told_once(workers, monkeypatch):
    monkeypatch.setattr(loader, "SHARE_LEFT_OUT", 0.1)
    data = FaultyData(40, {0, 15, 39}, on_error="skip", workers=workers)
    images = data.split_dataloader("test")
    with pytest.warns(UserWarning, match="left out of test: ") as told:
        first = [batch.names for batch in images]
    assert len(told) == 3
    assert [name for (name,) in first] == [str(i) for i in range(40) if i not in (0, 15, 39)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [batch.names for batch in images] == first
    assert data.state_dict()["left_out"]["test"].keys() == {0, 15, 39}


def test_those_of_a_run_that_goes_on_are_known_and_not_told_again():
    data = FaultyData(40, {4}, on_error="skip")
    data.load_state_dict({"left_out": {"val": {4: "4.png: told before"}}})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(data.val_dataloader())) == 39
    assert list(data.left_out["val"].reasons.values()) == ["4.png: told before"]


@pytest.mark.parametrize(("size", "most"), [(1, 1), (199, 1), (200, 2), (10_000, 100), (10**6, 100)])
def test_too_many_are_an_error_that_names_the_first(size, most):
    left_out = LeftOut("val", size)
    found = [Unreadable(i, f"{i}.png: bad") for i in range(most + 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        left_out.add(found[:most])
        with pytest.raises(InputError) as error:
            left_out.add(found)
    assert f"expected at most {most} of the {size} images of val" in str(error.value)
    assert f"got {most + 1}: 0.png: bad; 1.png: bad" in str(error.value)


def test_a_split_without_any_left_is_an_error():
    with pytest.warns(UserWarning, match="left out"), pytest.raises(InputError, match=r"^0.png: expected an image"):
        list(FaultyData(1, {0}, on_error="skip").val_dataloader())


@pytest.mark.slow
@pytest.mark.filterwarnings("default:left out of")
def test_a_run_on_files_of_which_some_are_damaged(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["panoptic"])
    sizes = ("height=32", "width=64", "train_size=6", "val_size=3", "test_size=0", "workers=1")
    command("scenes", scenes, ("output=data", "format=coco_panoptic", *sizes))
    images = {split: find_images(next(Path("data").rglob(f"{split}*/"))) for split in ("train", "val")}
    settings = [s for s in TINY if not s.startswith(("data.height", "data.width", "data.train", "data.val", "data.te"))]
    settings += ["data=coco_panoptic", "data.root=data", "trainer.max_epochs=1", "hydra.run.dir=run"]
    for split, index in (("train", 2), ("val", 1)):
        images[split][index].write_bytes(images[split][index].read_bytes()[:100])
    assert f"{images['train'][2]}: expected an image" in refused(capsys, *settings)
    run("resume=auto", *settings[:-1], "hydra.run.dir=run2", "data.on_error=skip")
    assert capsys.readouterr().err.count("left out of train: ") == 1
    found = summary("run2")["left_out"]
    assert {split: len(reasons) for split, reasons in found.items()} == {"train": 1, "val": 1}
    assert found["val"][0].startswith(str(images["val"][1]))
    command("evaluate", evaluate, ("checkpoint=run2/checkpoints/last.ckpt", "split=val", "output=out"))
    assert "left out, since they cannot be read: 1 images" in capsys.readouterr().out
    scores = json.loads(Path("out/scores.json").read_text())
    assert (scores["images"], scores["left_out"]) == (2, found["val"])
    rows = Path("out/per_image.csv").read_text().splitlines()[1:]
    assert [row.split(",")[1] for row in rows] == [images["val"][i].stem for i in (0, 2)]
    written = json.loads(Path("out/predictions.json").read_text())["annotations"]
    truth = json.loads(next(Path("data").rglob("panoptic_val*.json")).read_text())["images"]
    ids = {entry["file_name"]: entry["id"] for entry in truth}
    assert [a["image_id"] for a in written] == [ids[images["val"][i].name] for i in (0, 2)]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_what_is_no_file_among_images_is_passed_over_and_named(tmp_path):
    from PIL import Image

    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe.txt")  # of which nothing is expected
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    for pattern in (tmp_path, tmp_path / "*"):
        with pytest.warns(UserWarning, match="passed over, since they are no regular files: ") as told:
            assert find_images(pattern) == [tmp_path / "a.png"]
        for name, kind in (("pipe", "pipe"), ("folder", "folder"), ("lost", "link to nothing"), ("zero", "device")):
            assert f"{name}.png (a {kind})" in str(told[0].message)
        assert "pipe.txt" not in str(told[0].message)


def test_links_are_followed_to_images_only(tmp_path):
    """Whoever can place a link in the folder owns the data; a name in a JSON file leads nowhere else."""
    from PIL import Image

    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data").mkdir()
    Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "elsewhere" / "a.png")
    secret = tmp_path / "elsewhere" / "secret"
    secret.write_text("secret")
    link = tmp_path / "data" / "a.png"
    link.symlink_to(tmp_path / "elsewhere" / "a.png")
    assert find_images(tmp_path / "data") == [link]
    assert read_image(link)[0, 0].tolist() == [1, 2, 3]
    for target, got in (
        ("/dev/zero", "no regular file"),
        (secret, "a file of another kind"),
        ("/proc/self/mem", "an empty file"),  # whose bytes the system refuses
    ):
        link.unlink()
        link.symlink_to(target)
        for read in (read_image, Reading().read, Reading((1,)).read):
            with pytest.raises(InputError, match=f"a.png: expected an image.*got {got}"):
                read(link)
