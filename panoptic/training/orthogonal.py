"""Orthogonalized matrices: the steps of :class:`panoptic.training.optim.Muon` (Jordan et al. 2024)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


def orthogonalize(
    matrix: Float[Tensor, "*batch M N"], dtype: torch.dtype = torch.float32
) -> Float[Tensor, "*batch M N"]:
    """Roughly the nearest matrix with orthonormal rows (or columns, where there are fewer): U Vᵀ of U S Vᵀ.

    Singular values come out between 0.7 and 1.2 but for the tiniest, which is near enough for a step. Source: Jordan et
    al. 2024 (the quintic Newton-Schulz iteration). Each of its iterations takes X to p(X Xᵀ) X for a polynomial p, so
    that several of them together are one product with X, and work on the Gram matrix until then.

    Args:
        matrix: of any shape, or a batch of one shape.
        dtype: of the products. In half precision the Gram matrix is computed anew after every second iteration, since
            what rounding leaves of one direction in another grows twelvefold in two.
    """
    tall = matrix.shape[-2] > matrix.shape[-1]
    wide = matrix.mT if tall else matrix
    norm = wide.float().norm(dim=(-2, -1), keepdim=True) if matrix.ndim > 2 else wide.float().norm()
    wide = (wide.float() / norm.clamp(min=1e-7)).to(dtype)
    at_once = NEWTON_SCHULZ_STEPS if dtype == torch.float32 else 2
    for done in range(0, NEWTON_SCHULZ_STEPS, at_once):
        wide = _iterated(wide @ wide.mT, min(at_once, NEWTON_SCHULZ_STEPS - done)) @ wide
    return (wide.mT if tall else wide).to(matrix.dtype)


def orthogonalize_all(
    matrices: list[Float[Tensor, "_ _"]], dtype: torch.dtype = torch.float32
) -> list[Float[Tensor, "_ _"]]:
    """:func:`orthogonalize` each of several matrices, on a GPU those of similar size together.

    There, matrices whose shorter sides have one power of two above them are padded with zeros to one size, which
    changes nothing of the rest.

    Args:
        matrices: of any shapes, on one device.
        dtype: of the products.
    """
    if _one_by_one(matrices[0].device):
        return [orthogonalize(matrix, dtype) for matrix in matrices]
    tall = [matrix.shape[0] > matrix.shape[1] for matrix in matrices]
    wide = [matrix.mT if turned else matrix for matrix, turned in zip(matrices, tall, strict=True)]
    steps = list(matrices)
    for places in _similar(wide):
        height, width = (max(wide[i].shape[d] for i in places) for d in range(2))
        padded = wide[0].new_zeros(len(places), height, width)
        insides = [padded[k, : wide[i].shape[0], : wide[i].shape[1]] for k, i in enumerate(places)]
        torch._foreach_copy_(insides, [wide[i] for i in places])
        for i, step in zip(places, orthogonalize(padded, dtype).unbind(), strict=True):
            inside = step[: wide[i].shape[0], : wide[i].shape[1]]
            steps[i] = inside.mT if tall[i] else inside
    return steps


def _one_by_one(device: torch.device) -> bool:
    """Whether a device is busy with one matrix at a time."""
    return device.type == "cpu"


def _similar(wide: list[Float[Tensor, "_ _"]]) -> list[list[int]]:
    """Places of the matrices by the power of two above their shorter side; all small ones are similar."""
    places: dict[int, list[int]] = {}
    for i, matrix in enumerate(wide):
        places.setdefault(max(matrix.shape[0] - 1, 63).bit_length(), []).append(i)
    return list(places.values())


def _iterated(gram: Float[Tensor, "*batch M M"], steps: int) -> Float[Tensor, "*batch M M"]:
    """What several iterations multiply a matrix by, from its Gram matrix."""
    factor = polynomial = _polynomial(gram)
    for _ in range(steps - 1):
        gram = polynomial @ gram @ polynomial
        polynomial = _polynomial(gram)
        factor = polynomial @ factor
    return factor


def _polynomial(gram: Float[Tensor, "*batch M M"]) -> Float[Tensor, "*batch M M"]:
    a, b, c = NEWTON_SCHULZ
    add_product = torch.addmm if gram.ndim == 2 else torch.baddbmm
    result = add_product(gram, gram, gram, beta=b, alpha=c)
    result.diagonal(dim1=-2, dim2=-1).add_(a)
    return result
