"""Means of curves and matrices against those of all clips at once."""

from __future__ import annotations

import math

import numpy as np
import pytest

from service.evaluation.pooling import ArrayPool, CurvePool


def test_matrices_are_averaged_as_they_come():
    given = np.random.default_rng(0).normal(1e6, 1, (9, 3, 4))
    pool = ArrayPool()
    for matrix in given:
        pool.add(matrix)
    found = pool.pooled()
    assert (found.n == 9).all()
    np.testing.assert_allclose(found.mean, given.mean(0), rtol=1e-14)
    np.testing.assert_allclose(found.error, given.std(0, ddof=1) / 3, rtol=1e-8)


def test_numbers_that_are_not_finite_do_not_count():
    pool = ArrayPool()
    for row in ([1.0, np.nan, np.nan], [3.0, 5.0, np.inf]):
        pool.add(np.array(row))
    found = pool.pooled()
    np.testing.assert_array_equal(found.n, [2, 1, 0])
    np.testing.assert_array_equal(found.mean, [2, 5, np.nan])
    # sd of 1 and 3 is sqrt(2), over sqrt(2).
    np.testing.assert_allclose(found.error, [1, np.nan, np.nan])


def test_other_shapes_and_nothing_at_all_are_refused():
    pool = ArrayPool()
    with pytest.raises(ValueError, match="nothing"):
        pool.pooled()
    pool.add(np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"\[3, 3\].*\[2, 2\]"):
        pool.add(np.zeros((3, 3)))


def test_curves_meet_where_x_is_the_same():
    pool = CurvePool()
    pool.add((0.0, 1.0, 2.0), (0.5, 0.25, math.nan))
    pool.add((2.0, 0.0), (0.75, 1.0))
    found = pool.pooled()
    np.testing.assert_array_equal(found.x, [0, 1, 2])
    np.testing.assert_array_equal(found.n, [2, 1, 1])
    np.testing.assert_array_equal(found.mean, [0.75, 0.25, 0.75])
    np.testing.assert_allclose(found.error, [0.25, np.nan, np.nan])
    with pytest.raises(ValueError):
        pool.add((0.0, 1.0), (0.5,))
    assert len(CurvePool().pooled().x) == 0
