"""The best convex weights in hindsight, against closed forms and against another solver."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from ddm_core.analysis.simplex import best_convex

Array = np.ndarray


def grams(count: int, experts: int, dimension: int) -> Array:
    """Gram matrices of errors that experts share in part [problem, expert, expert]."""
    random = np.random.default_rng([count, experts, dimension])
    shared = random.standard_normal((count, 1, dimension))
    scale = random.uniform(0.05, 1, (count, experts, 1))
    errors = shared + scale * random.standard_normal((count, experts, dimension))
    return errors @ errors.transpose(0, 2, 1) / dimension


def losses(gram: Array, w: Array) -> Array:
    return np.einsum("...i,...ij,...j->...", w, gram, w)


def by_slsqp(gram: Array) -> float:
    """The least w^T G w, by another solver."""

    def loss(w: Array) -> float:
        return float(w @ gram @ w)

    def slope(w: Array) -> Array:
        return 2 * gram @ w

    def excess(w: Array) -> float:
        return float(w.sum() - 1)

    count = len(gram)
    found = minimize(
        loss,
        np.full(count, 1 / count),
        jac=slope,
        method="SLSQP",
        bounds=[(0, 1)] * count,
        constraints={"type": "eq", "fun": excess},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    return float(found.fun)


def on_the_simplex(w: Array) -> bool:
    return bool((w >= 0).all() and np.allclose(w.sum(axis=-1), 1, rtol=0, atol=1e-12))


@pytest.mark.parametrize(("experts", "dimension"), [(2, 50), (5, 3), (8, 784), (8, 2), (12, 6)])
def test_another_solver_finds_nothing_better(experts: int, dimension: int) -> None:
    gram = grams(12, experts, dimension)
    w = best_convex(gram)
    assert on_the_simplex(w)
    for g, mine in zip(gram, losses(gram, w), strict=True):
        theirs = by_slsqp(g)
        assert mine <= theirs + 1e-8
        # Nor is it better than what is possible.
        assert mine >= theirs - 1e-6


@pytest.mark.parametrize(("experts", "dimension"), [(3, 100), (8, 784), (30, 40), (64, 2)])
def test_no_expert_promises_more(experts: int, dimension: int) -> None:
    """The conditions of optimality: (G w)_k >= w^T G w for all k, equal where w_k > 0."""
    gram = grams(200, experts, dimension)
    w = best_convex(gram)
    slope = np.einsum("nij,nj->ni", gram, w)
    loss, scale = losses(gram, w)[:, None], np.einsum("nkk->n", gram)[:, None] / experts
    assert bool((slope - loss >= -1e-9 * scale).all())
    assert bool((np.abs(slope - loss) <= 1e-7 * scale)[w > 1e-4].all())


def test_two_experts_by_hand() -> None:
    """w = (b - c) / (a + b - 2 c), cut to [0, 1]."""
    for a, b, c in [(1.0, 1.0, 0.0), (1.0, 2.0, 0.5), (1.0, 4.0, 1.5), (3.0, 1.0, 1.0)]:
        first = min(1.0, max(0.0, (b - c) / (a + b - 2 * c)))
        w = best_convex(np.array([[a, c], [c, b]]))
        np.testing.assert_allclose(w, [first, 1 - first], atol=1e-9)


def test_independent_errors_are_weighed_by_their_inverse() -> None:
    errors = np.array([0.5, 1.0, 2.0, 8.0])
    np.testing.assert_allclose(
        best_convex(np.diag(errors)), (1 / errors) / (1 / errors).sum(), rtol=1e-9
    )


def test_scale_and_order_do_not_matter() -> None:
    gram = grams(20, 6, 30)
    w = best_convex(gram)
    np.testing.assert_allclose(best_convex(1e6 * gram), w, atol=1e-8)
    order = np.array([3, 1, 5, 0, 2, 4])
    swapped = best_convex(gram[:, order][:, :, order])
    np.testing.assert_allclose(swapped, w[:, order], atol=1e-8)


def test_equal_experts_share_and_a_perfect_one_takes_all() -> None:
    same = best_convex(np.full((4, 4), 0.3))
    assert on_the_simplex(same)
    perfect = np.diag([1.0, 0.0, 1.0])
    np.testing.assert_allclose(best_convex(perfect), [0, 1, 0], atol=1e-9)
    assert on_the_simplex(best_convex(np.zeros((3, 3))))
    np.testing.assert_array_equal(best_convex(np.ones((5, 1, 1))), np.ones((5, 1)))


def test_rounded_matrices_are_solved_to_their_own_precision() -> None:
    gram = grams(500, 8, 2)
    w = best_convex(gram.astype(np.float32))
    scale = np.einsum("nkk->n", gram) / 8
    assert on_the_simplex(w)
    assert bool((losses(gram, w) <= losses(gram, best_convex(gram)) + 1e-6 * scale).all())


def test_what_is_no_number_harms_nobody_else() -> None:
    gram = grams(3, 4, 9)
    alone = best_convex(gram[::2])
    gram[1, 2, 2] = np.nan
    w = best_convex(gram)
    assert bool(np.isnan(w[1]).all())
    np.testing.assert_array_equal(w[::2], alone)
    assert best_convex(np.empty((0, 4, 4))).shape == (0, 4)
