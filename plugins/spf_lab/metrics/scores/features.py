"""Distances of two sets of features as pure functions of float tensors N D."""

import torch
from torch import Tensor


def frechet_distance(first_ND: Tensor, second_ND: Tensor) -> float:
    """|mu_1 - mu_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^1/2), covariances over N - 1; NaN for fewer than two rows.

    The trace of the root is the nuclear norm of X_1 X_2^T / (N - 1) for centred X, here of their triangular
    factors: exact also when there are fewer rows than features, and no matrix root is taken.
    """
    one, other = first_ND.double(), second_ND.double()
    if min(len(one), len(other)) < 2:
        return float("nan")
    shift = (one.mean(dim=0) - other.mean(dim=0)).square().sum()
    one, other = (x - x.mean(dim=0) for x in (one, other))
    one, other = (x / (len(x) - 1) ** 0.5 for x in (one, other))
    root = torch.linalg.svdvals(_triangular(one) @ _triangular(other).T).sum()
    return float((shift + one.square().sum() + other.square().sum() - 2 * root).clamp(min=0))


def paired_kid(first_ND: Tensor, second_ND: Tensor) -> float:
    """MMD^2 of pairs with the kernel (x y / D + 1)^3 of KID; NaN for fewer than two pairs.

    The usual unbiased estimator keeps the matched pairs (i, i) in its cross term and is biased where first
    and second come in pairs. Without them it is unbiased: sum over i != j of k(a_i, a_j) + k(c_i, c_j)
    - 2 k(a_i, c_j), over N (N - 1).
    """
    one, other = first_ND.double(), second_ND.double()
    if len(one) < 2:
        return float("nan")
    kernels_NN = _kernel(one, one) + _kernel(other, other) - 2 * _kernel(one, other)
    return float((kernels_NN.sum() - kernels_NN.trace()) / (len(one) * (len(one) - 1)))


def squared_displacement(first_ND: Tensor, second_ND: Tensor) -> Tensor:
    """|phi(A_i) - phi(C_i)|^2, N; the Frechet distance is at most about its mean, for any pairing."""
    return (first_ND.double() - second_ND.double()).square().sum(dim=-1)


def _triangular(x_ND: Tensor) -> Tensor:
    """R of x = Q R: the orthonormal Q leaves the nuclear norm as it is."""
    return torch.linalg.qr(x_ND, mode="r").R if len(x_ND) > x_ND.shape[1] else x_ND


def _kernel(one_ND: Tensor, other_MD: Tensor) -> Tensor:
    return (one_ND @ other_MD.T / one_ND.shape[1] + 1) ** 3
