"""Rotations made of free numbers: a skew-symmetric matrix S gives an orthogonal one, S = 0 the identity."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from metricgrad._checks import Whole, describe, fail, require_matrix, whole_number

__all__ = ["Turn", "cayley", "cayley_neumann", "hyperspherical_energy", "lowdin", "skew_symmetric"]

Turn = Callable[[Tensor], Tensor]
"""A skew-symmetric matrix [..., size, size] to an orthogonal one."""


def skew_symmetric(upper: Float[Tensor, "*batch pair"], size: int) -> Float[Tensor, "*batch size size"]:
    """Return S with `upper` above its diagonal, row by row, and the negative below.

    Args:
        upper: size (size - 1) / 2 numbers per matrix.
        size: rows of the matrix.

    Example:
        >>> skew_symmetric(torch.tensor([0.5]), 2)
        tensor([[ 0.0000,  0.5000],
                [-0.5000,  0.0000]])
    """
    rows, columns = torch.triu_indices(size, size, 1, device=upper.device)
    place = rows * size + columns
    flat = upper.new_zeros(*upper.shape[:-1], size * size)
    above = flat.index_copy(-1, place, upper).unflatten(-1, (size, size))
    return above - above.mT


def cayley(skew: Float[Tensor, "*batch size size"]) -> Float[Tensor, "*batch size size"]:
    """Return (I + S) (I - S)^-1, orthogonal for every skew-symmetric S (exact).

    Args:
        skew: S; float32 or float64.

    Edge cases:
        S = 0 gives the identity. A rotation by half a turn (eigenvalue -1) is reached by no finite S.

    Gradient:
        Exact; by a solve, without an inverse.

    Cost:
        O(size^3) per matrix.

    Reference:
        [liu2021orthogonal]

    Example:
        >>> cayley(torch.tensor([[0.0, 0.5], [-0.5, 0.0]]))
        tensor([[ 0.6000,  0.8000],
                [-0.8000,  0.6000]])
    """
    identity = torch.eye(skew.shape[-1], dtype=skew.dtype, device=skew.device).expand_as(skew)
    return torch.linalg.solve(identity - skew, identity + skew, left=False)


def cayley_neumann(
    skew: Float[Tensor, "*batch size size"], terms: Whole = 5
) -> Float[Tensor, "*batch size size"]:
    """Return (I + S) (I + S + ... + S^(terms - 1)): the Cayley map without a solve (estimate).

    It is only nearly orthogonal, and not at all for large S. For an angle with S = 0.5 the largest entry of
    R^T R - I is 0.001 with 5 terms and 0.12 with 4: even numbers of terms are much worse. Angles and norms are kept
    to that error alone.

    Args:
        skew: S, with singular values well below 1.
        terms: of the sum, the identity included; >= 1.

    Raises:
        InputError: terms < 1.

    Edge cases:
        S = 0 gives the identity. Singular values >= 1 diverge as the terms grow.

    Gradient:
        Exact, of the sum.

    Cost:
        `terms` products of O(size^3).

    Example:
        >>> cayley_neumann(torch.tensor([[0.0, 0.5], [-0.5, 0.0]]))
        tensor([[ 0.6250,  0.7812],
                [-0.7812,  0.6250]])
    """
    count = whole_number("cayley_neumann", "terms", terms)
    identity = torch.eye(skew.shape[-1], dtype=skew.dtype, device=skew.device)
    total = identity.expand_as(skew)
    for _ in range(count - 1):
        total = identity + skew @ total
    return total + skew @ total


def lowdin(matrix: Float[Tensor, "size size"]) -> Float[Tensor, "size size"]:
    """Return the orthogonal matrix nearest to a square one, U V^T of its singular value decomposition (exact).

    To project a matrix once. Not to train through: the gradient grows without bound as two singular values meet.

    Args:
        matrix: square, of full rank.

    Raises:
        InputError: another shape.

    Edge cases:
        A matrix without full rank has several nearest ones; one of them is returned.

    Cost:
        O(size^3).

    Example:
        >>> lowdin(torch.diag(torch.tensor([3.0, 0.5])))
        tensor([[1., 0.],
                [0., 1.]])
    """
    require_matrix("lowdin", "matrix", matrix, "size, size")
    if matrix.shape[0] != matrix.shape[1]:
        raise fail("lowdin", f"matrix is {describe(matrix)}", "a square matrix")
    left, _, right = torch.linalg.svd(matrix)
    return left @ right


def hyperspherical_energy(weight: Float[Tensor, "unit dim"]) -> Float[Tensor, ""]:
    """Return the sum over pairs of units of 1 / distance of their directions: what a rotation leaves alone (exact).

    Args:
        weight: a row per unit.

    Returns:
        One number > 0; 0 for a single unit.

    Edge cases:
        Two units of the same direction give infinity. A unit of zeros has no direction and is left out.

    Gradient:
        Exact; NaN where the energy is infinite. float32 for half precision.

    Cost:
        O(unit^2 dim).

    Reference:
        [liu2021orthogonal]

    Example:
        >>> hyperspherical_energy(torch.tensor([[2.0, 0.0], [-1.0, 0.0]]))
        tensor(0.5000)
    """
    require_matrix("hyperspherical_energy", "weight", weight, "unit, dim")
    wide = weight.float() if weight.element_size() < 4 else weight
    lengths = wide.norm(dim=1, keepdim=True)
    kept = lengths.squeeze(1) > 0
    directions = wide[kept] / lengths[kept]
    return nn.functional.pdist(directions).reciprocal().sum()
