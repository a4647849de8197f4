"""The best convex mixture in hindsight: min w^T G w over the simplex, for many matrices at once.

With u = w / (w^T G w) the problem is min u^T G u / 2 - sum(u) over u >= 0: a non-negative least
squares problem, solved exactly by an active set, all matrices side by side.

References:
    Solving Least Squares Problems (Lawson and Hanson, 1974)
    A fast non-negativity-constrained least squares algorithm (Bro and de Jong, 1997)
"""

from __future__ import annotations

import numpy as np

__all__ = ["best_convex"]

Array = np.ndarray
_CLOSE = 1e-10  # of the loss: how much a further expert must promise to be taken in
_RIDGE = 1e-12  # of the mean loss of an expert: equal experts have no single best mixture
_BLOCK = 2**22  # numbers in the matrices that are solved at once


def best_convex(gram: Array) -> Array:
    """Weights on the simplex that minimise w^T G w, for every G of [..., expert, expert].

    A matrix with numbers that are not finite gives nan. A matrix that rounding made indefinite is
    lifted to the nearest one, by a multiple of the identity, that is not.
    """
    count = gram.shape[-1]
    g = np.asarray(gram, dtype=np.float64).reshape(-1, count, count)
    block = max(1, _BLOCK // count**2)
    parts = [_best(g[i : i + block]) for i in range(0, len(g), block)]
    return np.concatenate([np.empty((0, count)), *parts]).reshape(gram.shape[:-1])


def _best(g: Array) -> Array:
    """[problem, expert, expert] -> weights [problem, expert]."""
    n, count = g.shape[:2]
    out = np.full((n, count), np.nan)
    fine = np.flatnonzero(np.isfinite(g).all(axis=(1, 2)))
    if len(fine) == 0:
        return out
    g = g[fine] / np.maximum(np.einsum("nkk->n", g[fine]) / count, 1e-300)[:, None, None]
    lift = np.maximum(0.0, -np.linalg.eigvalsh(g)[:, 0]) + _RIDGE
    g = g + lift[:, None, None] * np.eye(count)
    u, taken = np.zeros((len(fine), count)), np.zeros((len(fine), count), dtype=bool)
    # The single best expert is where it begins, and its weight cannot be negative.
    _take(taken, np.arange(len(fine)), np.einsum("nkk->nk", g).argmin(axis=1))
    busy = np.arange(len(fine))
    for _ in range(20 + 10 * count):
        aim = _stationary(g[busy], taken[busy])
        wrong = taken[busy] & (aim <= 0)
        bad = wrong.any(axis=1)
        u[busy[bad]], taken[busy[bad]] = _towards(u[busy[bad]], aim[bad], taken[busy[bad]])
        good = busy[~bad]
        u[good] = aim[~bad]
        slope = 1 - np.einsum("nij,nj->ni", g[good], u[good])
        slope[taken[good]] = -np.inf
        more = slope.max(axis=1) > _CLOSE
        _take(taken, good[more], slope[more].argmax(axis=1))
        busy = np.sort(np.concatenate([busy[bad], good[more]]))
        if len(busy) == 0:
            break
    out[fine] = u / u.sum(axis=1, keepdims=True)
    return out


def _take(taken: Array, rows: Array, experts: Array) -> None:
    taken[rows, experts] = True


def _stationary(g: Array, taken: Array) -> Array:
    """Where the slope vanishes among the taken, 0 elsewhere."""
    both = taken[:, :, None] & taken[:, None, :]
    # Rows of the others become those of the identity, and their solution 0.
    matrix = np.where(both, g, np.eye(g.shape[1]))
    return np.linalg.solve(matrix, taken[:, :, None].astype(float))[:, :, 0]


def _towards(u: Array, aim: Array, taken: Array) -> tuple[Array, Array]:
    """As far towards the aim as nobody falls below 0; who reaches it is let go."""
    falls = taken & (aim <= 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        reach = np.where(falls, u / (u - aim), np.inf)
    share = reach.min(axis=1, keepdims=True)
    moved = np.where(taken, u + share * (aim - u), 0.0)
    gone = falls & (reach <= share)
    return np.where(gone, 0.0, np.maximum(moved, 0.0)), taken & ~gone
