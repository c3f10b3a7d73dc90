"""Loaders: the same samples whatever reads them, and no two alike."""

from __future__ import annotations

from unittest.mock import Mock

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from panoptic.data.augment import augment
from panoptic.data.batch import Batch, EvaluationDataset, TrainingDataset, collate
from panoptic.data.data_sets import CityscapesData, CocoPanopticData, SyntheticData
from panoptic.data.datamodule import DataModule
from panoptic.data.sample import Sample
from panoptic.data.sampler import SampleKey
from panoptic.errors import InputError
from panoptic.labels import CITYSCAPES
from panoptic.segments import Segments
from panoptic.training.callbacks.curriculum import Curriculum

SYNTHETIC = {"scenes_seed": 0, "height": 48, "width": 96, "train_size": 12, "val_size": 6, "test_size": 2}
LOADING = {"batch_size": 3, "crop": [32, 64], "scale": [0.5, 2.0], "workers": 0}


def synthetic(**changes) -> SyntheticData:
    return SyntheticData(**{**SYNTHETIC, **LOADING, **changes})


def two_epochs(data: DataModule) -> list[list[Batch]]:
    """One loader, whose workers live on from epoch to epoch, while the curriculum goes from 0 to 1."""
    data.strength = Curriculum(stages=2, epochs_per_stage=1).strength
    loader = data.train_dataloader()
    epochs = []
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        epochs.append(list(loader))
    return epochs


def is_same(a: Batch, b: Batch) -> bool:
    return (
        torch.equal(a.images, b.images)
        and torch.equal(a.segments.ids, b.segments.ids)
        and torch.equal(a.segments.classes, b.segments.classes)
        and torch.equal(a.segments.crowd, b.segments.crowd)
        and (a.sizes, a.names) == (b.sizes, b.names)
    )


@pytest.fixture(scope="module")
def alone() -> list[list[Batch]]:
    """Two epochs without workers."""
    return two_epochs(synthetic())


class TestTraining:
    def test_workers_read_what_one_process_reads(self, alone):
        for one, other in zip(alone, two_epochs(synthetic(workers=2)), strict=True):
            assert all(is_same(a, b) for a, b in zip(one, other, strict=True))

    def test_every_image_once_an_epoch_in_another_order(self, alone):
        names = [[name for batch in epoch for name in batch.names] for epoch in alone]
        assert sorted(names[0]) == sorted(names[1]) == [f"train_{i:06d}" for i in range(12)]
        assert names[0] != names[1]

    def test_no_view_comes_twice(self, alone):
        views = [image.numpy().tobytes() for epoch in alone for batch in epoch for image in batch.images]
        assert len(set(views)) == 24

    def test_batches_have_the_size_of_the_crop(self, alone):
        for batch in (batch for epoch in alone for batch in epoch):
            assert batch.images.shape == (3, 3, 32, 64)
            assert batch.images.dtype == torch.uint8
            assert batch.segments.size == (32, 64)
            assert all(min(h / 32, w / 64) > 0.86 and h <= 32 and w <= 64 for h, w in batch.sizes)  # root of 3/4
            assert batch.extents.tolist() == [list(size) for size in batch.sizes]

    def test_a_sample_is_a_function_of_its_key(self, alone):
        data = synthetic()
        dataset = TrainingDataset(data.train_source, (32, 64), (0.5, 2.0), padding=0.25)
        for epoch, strength in ((0, 0.0), (1, 1.0)):
            for batch in alone[epoch]:
                truths = batch.segments.unstack(batch.sizes)
                for image, segments, name in zip(batch.images, truths, batch.names, strict=True):
                    again = dataset[SampleKey(0, epoch, int(name.removeprefix("train_")), strength)]
                    height, width = again.image.shape[:2]
                    assert np.array_equal(again.image, image.permute(1, 2, 0).numpy()[:height, :width])
                    assert torch.equal(again.segments.ids, segments.ids)

    def test_every_part_of_the_key_counts(self):
        dataset = TrainingDataset(synthetic().train_source, (32, 64), (0.5, 2.0))
        key = SampleKey(0, 0, 3, 1.0)
        others = [key._replace(**change) for change in ({"seed": 1}, {"visit": 1}, {"index": 4}, {"strength": 0.5})]
        images = [dataset[k].image.tobytes() for k in (key, *others)]
        assert len(set(images)) == 5
        assert dataset[key].image.tobytes() == images[0]

    def test_the_seed_chooses_order_and_views_and_leaves_the_scenes(self):
        one, other = synthetic(seed=1), synthetic(seed=2)
        assert [b.names for b in one.train_dataloader()] != [b.names for b in other.train_dataloader()]
        assert np.array_equal(one.train_source.read(0).image, other.train_source.read(0).image)
        changed = synthetic(scenes_seed=1)
        assert not np.array_equal(one.train_source.read(0).image, changed.train_source.read(0).image)

    def test_full_strength_without_a_curriculum(self):
        assert {key.strength for key in synthetic().train_dataloader().sampler} == {1.0}

    @pytest.mark.parametrize("epoch", [0, 3])
    def test_ranks_share_an_epoch_and_a_resumed_run_begins_in_its_own(self, epoch):
        names = []
        for rank in range(2):
            data = synthetic()
            data.trainer = Mock(spec=Trainer, global_rank=rank, world_size=2, current_epoch=epoch)
            names.append([name for batch in data.train_dataloader() for name in batch.names])
        whole = synthetic()
        whole.trainer = Mock(spec=Trainer, global_rank=0, world_size=1, current_epoch=epoch)
        together = [name for batch in whole.train_dataloader() for name in batch.names]
        assert names == [together[0::2], together[1::2]]
        assert {key.visit for key in whole.train_dataloader().sampler} == {epoch}

    def test_what_does_not_fill_a_batch_is_left_out_but_never_everything(self):
        assert [len(b.names) for b in synthetic(batch_size=5).train_dataloader()] == [5, 5]
        assert [len(b.names) for b in synthetic(batch_size=50).train_dataloader()] == [12]

    @pytest.mark.parametrize(("epoch_size", "steps"), [(30, 10), (6, 2), (2, 1)])
    def test_an_epoch_may_have_any_size(self, epoch_size, steps):
        loader = synthetic(epoch_size=epoch_size).train_dataloader()
        assert len(list(loader)) == len(loader) == steps

    def test_neither_reads_nor_moves_the_global_random_state(self, alone):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(5)
            before = torch.get_rng_state()
            epochs = two_epochs(synthetic())
            assert torch.equal(torch.get_rng_state(), before)
        assert all(
            is_same(a, b) for one, other in zip(alone, epochs, strict=True) for a, b in zip(one, other, strict=True)
        )

    def test_a_sample_without_truth_cannot_train(self):
        class Withheld:
            labels = CITYSCAPES
            image_ids = (1,)

            def __len__(self) -> int:
                return 1

            def read(self, index: int, strength: float = 1.0) -> Sample:
                return Sample(np.zeros((32, 32, 3), np.uint8), None, "berlin_1")

        with pytest.raises(InputError, match="berlin_1: expected its truth, which training needs"):
            TrainingDataset(Withheld(), (32, 32), (1.0, 1.0))[SampleKey(0, 0, 0, 1.0)]


class TestEvaluation:
    @pytest.mark.parametrize("workers", [0, 2])
    def test_the_validation_split_in_order_as_it_is(self, workers):
        data = synthetic(workers=workers)
        batches = list(data.val_dataloader())
        assert [batch.names for batch in batches] == [
            tuple(f"val_{i:06d}" for i in range(4)),
            ("val_000004", "val_000005"),
        ]
        for start, batch in zip((0, 4), batches, strict=True):
            for i, (image, segments) in enumerate(zip(batch.images, batch.segments.unstack(), strict=True)):
                sample = data.val_source.read(start + i)
                assert np.array_equal(image.permute(1, 2, 0).numpy(), sample.image)
                assert torch.equal(segments.ids, sample.segments.ids)
                assert torch.equal(segments.classes, sample.segments.classes)

    @pytest.mark.parametrize("world", [2, 4, 7])
    def test_ranks_share_it(self, world):
        names = []
        for rank in range(world):
            data = synthetic()
            data.trainer = Mock(spec=Trainer, global_rank=rank, world_size=world)
            names.append([name for batch in data.val_dataloader() for name in batch.names])
        every = [f"val_{i:06d}" for i in range(6)]
        assert names == ([every[rank::world] for rank in range(world)] if world <= 6 else [every] * world)

    def test_the_curriculum_does_not_reach_it(self):
        data = synthetic()
        full = list(data.val_dataloader())
        data.strength = lambda epoch: 0.0
        assert all(is_same(a, b) for a, b in zip(full, data.val_dataloader(), strict=True))

    @pytest.mark.parametrize(("split", "count"), [("train", 12), ("val", 6), ("test", 2)])
    def test_any_split(self, split, count):
        names = [name for batch in synthetic().split_dataloader(split) for name in batch.names]
        assert names == [f"{split}_{i:06d}" for i in range(count)]

    def test_labels_are_those_of_the_source(self):
        assert synthetic().labels == CITYSCAPES


def sample(height: int, width: int, truth: bool = True) -> Sample:
    ids = torch.ones(height, width, dtype=torch.int32)
    segments = Segments(ids, torch.tensor([3]), torch.tensor([False]))
    image = np.full((height, width, 3), (height, width, 7), np.uint8)
    return Sample(image, segments if truth else None, f"{height}x{width}")


class TestCollate:
    def test_smaller_images_are_padded_with_black_and_void(self):
        batch = collate([sample(4, 6), sample(5, 3)])
        assert batch.images.shape == (2, 3, 5, 6)
        assert batch.sizes == ((4, 6), (5, 3))
        assert batch.names == ("4x6", "5x3")
        for i, (height, width) in enumerate(batch.sizes):
            inside = torch.zeros(5, 6, dtype=torch.bool)
            inside[:height, :width] = True
            assert batch.images[i][:, inside].T.unique(dim=0).tolist() == [[height, width, 7]]
            assert not batch.images[i][:, ~inside].any()
            assert torch.equal(batch.segments.ids[i] > 0, inside)
        assert batch.images.is_contiguous(memory_format=torch.channels_last)

    def test_the_truth_is_there_only_if_all_have_one(self):
        assert collate([sample(4, 6), sample(4, 6, truth=False)]).segments is None
        assert collate([sample(4, 6, truth=False)]).images.shape == (1, 3, 4, 6)

    def test_a_batch_has_at_least_the_size_of_the_crop(self):
        batch = collate([sample(4, 6), sample(5, 3)], (8, 4))
        assert batch.images.shape == (2, 3, 8, 6)
        assert batch.segments.size == (8, 6)
        assert not batch.segments.ids[:, 5:].any()
        assert batch.extents.tolist() == [[4, 6], [5, 3]]
        assert batch.is_padded
        assert not collate([sample(4, 6)], (4, 6)).is_padded

    def test_a_batch_moves_whole(self):
        moved = collate([sample(4, 6)]).to("meta")
        assert moved.images.device.type == moved.segments.ids.device.type == moved.extents.device.type == "meta"
        assert collate([sample(4, 6, truth=False)]).to("meta").segments is None


def test_training_samples_are_augmented_samples_of_the_source():
    source = synthetic().train_source
    key = SampleKey(0, 2, 5, 0.5)
    seed = int(np.random.SeedSequence([0, 2, 5]).generate_state(1)[0])
    read = source.read(5, 0.5)
    image, _ = augment(read.image, read.segments, crop=(32, 64), scale=(0.5, 2.0), strength=0.5, seed=seed)
    assert np.array_equal(TrainingDataset(source, (32, 64), (0.5, 2.0))[key].image, image)
    assert np.array_equal(EvaluationDataset(source)[5].image, source.read(5).image)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "^batch_size: expected at least 1, got 0"),
        ({"workers": -1}, "^workers: expected at least 0, got -1"),
        ({"epoch_size": 0}, "^epoch_size: expected at least 1, got 0"),
        ({"crop": [32]}, r"data.crop: expected a height and a width of at least 32, got \[32\]"),
        ({"crop": [31, 64]}, r"data.crop: expected a height and a width of at least 32, got \[31, 64\]"),
        ({"scale": [2.0, 0.5]}, r"data.scale: expected two rising positive factors, got \[2.0, 0.5\]"),
        ({"scale": [0.0, 1.0]}, r"data.scale: expected two rising positive factors, got \[0.0, 1.0\]"),
        ({"scale": [1.0]}, r"data.scale: expected two rising positive factors, got \[1.0\]"),
        ({"padding": 1.5}, "data.padding: expected a share in 0..1, got 1.5"),
        ({"scenes_seed": -1}, "^scenes_seed: expected at least 0, got -1"),
        ({"height": 31}, "^height: expected at least 32, got 31"),
        ({"width": 31}, "^width: expected at least 32, got 31"),
        ({"generator": 3}, "data.generator: expected one of 1, 2, got 3"),
        ({"train_size": 0}, "^train_size: expected at least 1, got 0"),
        ({"val_size": 0}, "^val_size: expected at least 1, got 0"),
        ({"test_size": 0}, "^test_size: expected at least 1, got 0"),
    ],
)
def test_settings_out_of_range_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        synthetic(**settings)


@pytest.mark.parametrize("data", [CityscapesData, CocoPanopticData])
def test_a_root_that_is_not_given_is_an_error_when_a_split_is_opened(data):
    with pytest.raises(InputError, match=r"data\.root"):
        data(root=None, **LOADING).source("train")


@pytest.mark.parametrize(
    ("batch", "crop", "fits"), [(1, (32, 32), False), (1, (32, 33), True), (2, (32, 32), True), (1, (32, 64), True)]
)
def test_a_batch_of_one_cell_is_refused_before_the_start(batch, crop, fits):
    data = synthetic(batch_size=batch, crop=crop)
    if fits:
        data.check_cells(32)
    else:
        with pytest.raises(InputError, match=r"expected at least two cells of 32x32 pixels .* got 1 crop of 32x32"):
            data.check_cells(32)
