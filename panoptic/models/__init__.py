"""The network and its parts, in plain PyTorch, independent of Lightning and Hydra."""

from panoptic.models.backbone import Backbone
from panoptic.models.complexity import ComplexityEstimate, ComplexityEstimator
from panoptic.models.context import NoContext, PyramidPooling
from panoptic.models.fpn import FPN
from panoptic.models.fusion import (
    AdaptiveFusion,
    FeaturesFusion,
    LocalFusion,
    RandomFusion,
    SizedFusion,
    StaticFusion,
    UniformFusion,
)
from panoptic.models.heads import InstanceHead, SemanticHead
from panoptic.models.network import PanopticNetwork

__all__ = [
    "FPN",
    "AdaptiveFusion",
    "Backbone",
    "ComplexityEstimate",
    "ComplexityEstimator",
    "FeaturesFusion",
    "InstanceHead",
    "LocalFusion",
    "NoContext",
    "PanopticNetwork",
    "PyramidPooling",
    "RandomFusion",
    "SemanticHead",
    "SizedFusion",
    "StaticFusion",
    "UniformFusion",
]
