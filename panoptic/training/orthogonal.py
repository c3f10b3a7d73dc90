"""Orthogonalization of matrices, for the updates of :class:`panoptic.training.optim.Muon` (Jordan et al. 2024)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


def orthogonalize(
    matrix: Float[Tensor, "*batch M N"], dtype: torch.dtype = torch.float32
) -> Float[Tensor, "*batch M N"]:
    """Approximate the nearest matrix with orthonormal rows (or columns, if there are fewer): U Vᵀ of U S Vᵀ.

    All but the smallest singular values become 0.7 to 1.2, which is accurate enough for an optimizer. The method is the
    quintic Newton-Schulz iteration (Jordan et al. 2024). An iteration maps X to p(X Xᵀ) X for a polynomial p, so
    several iterations are combined on the Gram matrix and need a single product with X.

    Args:
        matrix: Matrix of any shape, or a batch of matrices.
        dtype: Data type of the products. In half precision the Gram matrix is recomputed after every second iteration,
            since rounding errors that leak from one direction into another grow twelvefold in two.
    """
    tall = matrix.shape[-2] > matrix.shape[-1]
    wide = matrix.mT if tall else matrix
    norm = wide.float().norm(dim=(-2, -1), keepdim=True) if matrix.ndim > 2 else wide.float().norm()
    wide = (wide.float() / norm.clamp(min=1e-7)).to(dtype)
    chunk_size = NEWTON_SCHULZ_STEPS if dtype == torch.float32 else 2
    for start in range(0, NEWTON_SCHULZ_STEPS, chunk_size):
        wide = _combined_factor(wide @ wide.mT, min(chunk_size, NEWTON_SCHULZ_STEPS - start)) @ wide
    return (wide.mT if tall else wide).to(matrix.dtype)


def orthogonalize_all(
    matrices: list[Float[Tensor, "_ _"]], dtype: torch.dtype = torch.float32
) -> list[Float[Tensor, "_ _"]]:
    """Apply :func:`orthogonalize` to several matrices, on a GPU in batches of similar size.

    A batch contains the matrices whose shorter sides round up to the same power of two. They are padded with zeros to a
    common size, which does not change the results.

    Args:
        matrices: Matrices of any shapes, on one device.
        dtype: Data type of the products.
    """
    if _one_by_one(matrices[0].device):
        return [orthogonalize(matrix, dtype) for matrix in matrices]
    tall = [matrix.shape[0] > matrix.shape[1] for matrix in matrices]
    wide = [matrix.mT if is_tall else matrix for matrix, is_tall in zip(matrices, tall, strict=True)]
    steps = list(matrices)
    for indices in _group_by_size(wide):
        height, width = (max(wide[i].shape[d] for i in indices) for d in range(2))
        padded = wide[0].new_zeros(len(indices), height, width)
        insides = [padded[k, : wide[i].shape[0], : wide[i].shape[1]] for k, i in enumerate(indices)]
        torch._foreach_copy_(insides, [wide[i] for i in indices])
        for i, step in zip(indices, orthogonalize(padded, dtype).unbind(), strict=True):
            inside = step[: wide[i].shape[0], : wide[i].shape[1]]
            steps[i] = inside.mT if tall[i] else inside
    return steps


def _one_by_one(device: torch.device) -> bool:
    """Return whether single matrices keep a device busy."""
    return device.type == "cpu"


def _group_by_size(wide: list[Float[Tensor, "_ _"]]) -> list[list[int]]:
    """Group indices of matrices by the power of two that their shorter side rounds up to, at least 64."""
    groups: dict[int, list[int]] = {}
    for i, matrix in enumerate(wide):
        groups.setdefault(max(matrix.shape[0] - 1, 63).bit_length(), []).append(i)
    return list(groups.values())


def _combined_factor(gram: Float[Tensor, "*batch M M"], steps: int) -> Float[Tensor, "*batch M M"]:
    """Compute the factor by which several iterations multiply a matrix, from its Gram matrix."""
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
