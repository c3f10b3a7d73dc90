"""Metrics as pure functions of segments: batched, on any device, in integers and float64.

Counts are integers and ratios float64, so autocast lowers the precision of no operation. There are no loops over
segments, pixels or classes; all scores of an image come from the intersections of its segments. Computing them takes
three passes over the pixels on a CPU (one writes the pairs of ids, two find where they change; only runs are counted)
and two on other devices. Boundary PQ also dilates the edges of both maps: about thirty passes over one byte per pixel
at the default width on 1024x2048. Boundary F1 dilates all classes of a map together.
"""

from panoptic.metrics.functional.boundary_f1 import boundary_f1
from panoptic.metrics.functional.calibration import Platt, Reliability, fit_platt, reliability
from panoptic.metrics.functional.error_kinds import (
    FALSE_KINDS,
    MISSED_KINDS,
    ErrorCounts,
    SegmentErrors,
    error_counts,
    errors_from_intersections,
    segment_errors,
)
from panoptic.metrics.functional.overlap import (
    BoundaryIntersections,
    Intersections,
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
    ScoredSegments,
    SegmentOutcomes,
    boundary_counts_from_intersections,
    boundary_panoptic_counts,
    counts_from_intersections,
    panoptic_counts,
    panoptic_quality,
    scored_segments,
    segment_outcomes,
)
from panoptic.metrics.functional.scores import (
    boundary_f1_scores,
    class_means,
    class_values,
    iou_scores,
    quality_scores,
)
from panoptic.metrics.functional.semantic import confusion, confusion_from_intersections, intersection_over_union
from panoptic.metrics.functional.summation import exact_sum_by_class, sum_by_class, sum_of_images

__all__ = [
    "FALSE_KINDS",
    "MISSED_KINDS",
    "BoundaryIntersections",
    "ErrorCounts",
    "Intersections",
    "PanopticCounts",
    "Platt",
    "Reliability",
    "ScoredSegments",
    "SegmentErrors",
    "SegmentOutcomes",
    "as_batch",
    "boundary_counts_from_intersections",
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
    "confusion_from_intersections",
    "counts_from_intersections",
    "error_counts",
    "errors_from_intersections",
    "exact_sum_by_class",
    "fit_platt",
    "intersection_over_union",
    "intersections",
    "iou_scores",
    "panoptic_counts",
    "panoptic_quality",
    "quality_scores",
    "reliability",
    "scored_segments",
    "segment_boundaries",
    "segment_errors",
    "segment_outcomes",
    "sum_by_class",
    "sum_of_images",
]
