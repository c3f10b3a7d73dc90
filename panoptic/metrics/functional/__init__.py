"""Scores as functions of segments: batched, on any device, in integers and float64.

Everything counted is an integer and every ratio float64, so no operation here is one that autocast would lower. Nothing
loops over segments, pixels or classes; an image is compared through one table of intersections. On a CPU that takes
three passes over its pixels (one writes the pair of ids, two find where it changes; only runs are counted), elsewhere
two. Boundary PQ first spreads the edges of both maps, about thirty passes over a byte a pixel at its default width on
1024x2048; boundary F1 spreads all classes of a map together.
"""

from panoptic.metrics.functional.boundary_f1 import boundary_f1
from panoptic.metrics.functional.overlap import (
    as_batch,
    boundary_intersections,
    boundary_width,
    check_pair,
    check_shares,
    intersections,
    segment_boundaries,
)
from panoptic.metrics.functional.panoptic_quality import (
    PanopticCounts,
    boundary_counts_from_table,
    boundary_panoptic_counts,
    counts_from_table,
    panoptic_counts,
    panoptic_quality,
)
from panoptic.metrics.functional.scores import (
    boundary_f1_scores,
    class_means,
    class_values,
    iou_scores,
    quality_scores,
)
from panoptic.metrics.functional.semantic import confusion, confusion_from_table, intersection_over_union
from panoptic.metrics.functional.summation import exact_sum_by_class, sum_by_class, sum_of_images

__all__ = [
    "PanopticCounts",
    "as_batch",
    "boundary_counts_from_table",
    "boundary_f1",
    "boundary_f1_scores",
    "boundary_intersections",
    "boundary_panoptic_counts",
    "boundary_width",
    "check_pair",
    "check_shares",
    "class_means",
    "class_values",
    "confusion",
    "confusion_from_table",
    "counts_from_table",
    "exact_sum_by_class",
    "intersection_over_union",
    "intersections",
    "iou_scores",
    "panoptic_counts",
    "panoptic_quality",
    "quality_scores",
    "segment_boundaries",
    "sum_by_class",
    "sum_of_images",
]
