"""The order of samples: a function of (seed, epoch), shared out over ranks."""

from __future__ import annotations

import pytest
import torch

from panoptic.data.sampler import KeySampler, SampleKey


def keys(size=20, seed=0, epoch=0, strength=lambda epoch: 1.0, **share) -> list[SampleKey]:
    sampler = KeySampler(size, seed=seed, strength=strength, **share)
    sampler.set_epoch(epoch)
    return list(sampler)


def order(**arguments) -> list[int]:
    return [key.index for key in keys(**arguments)]


def test_every_image_once():
    assert sorted(order(size=20)) == list(range(20))


def test_the_order_is_a_function_of_seed_and_epoch():
    orders = {(seed, epoch): tuple(order(seed=seed, epoch=epoch)) for seed in (0, 1, 7) for epoch in range(3)}
    assert len(set(orders.values())) == 9
    for (seed, epoch), expected in orders.items():
        assert tuple(order(seed=seed, epoch=epoch)) == expected


def test_neither_reads_nor_moves_the_global_random_state():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = order()
        before = torch.get_rng_state()
        torch.manual_seed(2)
        assert order() == first
        torch.manual_seed(1)
        order()
        assert torch.equal(torch.get_rng_state(), before)


def test_keys_hold_all_that_a_sample_depends_on():
    for key, index in zip(keys(seed=5, epoch=3, strength=lambda e: e / 4), order(seed=5, epoch=3), strict=True):
        assert key == SampleKey(seed=5, visit=3, index=index, strength=0.75)


def test_strength_is_that_of_the_epoch():
    sampler = KeySampler(4, seed=0, strength=lambda epoch: (0.0, 0.5, 1.0)[epoch])
    for epoch, expected in enumerate((0.0, 0.5, 1.0)):
        sampler.set_epoch(epoch)
        assert {(key.visit, key.strength) for key in sampler} == {(epoch, expected)}


def test_iterating_again_gives_the_same_epoch_again():
    sampler = KeySampler(20, seed=0, strength=lambda epoch: 1.0)
    assert list(sampler) == list(sampler)
    first = list(sampler)
    sampler.set_epoch(1)
    assert list(sampler) != first
    sampler.set_epoch(0)
    assert list(sampler) == first


@pytest.mark.parametrize(("size", "world"), [(20, 1), (20, 2), (20, 3), (7, 4), (3, 4)])
def test_ranks_share_the_order_evenly_and_without_overlap(size, world):
    shares = [order(size=size, epoch=2, rank=rank, world=world) for rank in range(world)]
    assert {len(share) for share in shares} == {size // world}
    together = [index for step in zip(*shares, strict=True) for index in step]
    assert together == order(size=size, epoch=2)[: size // world * world]
    assert len(set(together)) == len(together) > size - world


def test_the_length_is_that_of_the_share():
    for rank in range(3):
        sampler = KeySampler(20, seed=0, strength=lambda epoch: 1.0, rank=rank, world=3)
        assert len(sampler) == len(list(sampler)) == 6


def test_an_epoch_of_another_size_goes_on_with_the_passes():
    passes = [order(epoch=epoch) for epoch in range(4)]
    sequence = [(visit, index) for visit, indices in enumerate(passes) for index in indices]
    for size in (1, 7, 20, 33):
        epochs = [keys(epoch=epoch, epoch_size=size) for epoch in range(80 // size)]
        assert {len(epoch) for epoch in epochs} == {size}
        together = [(key.visit, key.index) for epoch in epochs for key in epoch]
        assert together == sequence[: len(together)]


def test_the_strength_is_that_of_the_epoch_whatever_its_size():
    assert {key.strength for key in keys(epoch=3, epoch_size=50, strength=lambda epoch: epoch / 4)} == {0.75}


@pytest.mark.parametrize("world", [1, 2, 3])
def test_ranks_share_an_epoch_of_another_size(world):
    whole = keys(epoch=2, epoch_size=50)
    shares = [keys(epoch=2, epoch_size=50, rank=rank, world=world) for rank in range(world)]
    assert [key for step in zip(*shares, strict=True) for key in step] == whole[: 50 // world * world]
