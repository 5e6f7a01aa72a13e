"""Correlations by hand."""

from __future__ import annotations

import pytest
import torch

from handlers.evaluation.common.correlation import pearson, structural_similarity
from handlers.evaluation.measure import LeftOut


def test_pearson_by_hand():
    x = torch.tensor([1.0, 2, 3])
    assert pearson(x, 7 - 3 * x) == pytest.approx(-1)
    # (-1, 0, 1) and (-1, 1, 0) from their means: 1 / 2.
    assert pearson(x, torch.tensor([4.0, 6, 5])) == pytest.approx(0.5)


def test_a_constant_has_no_correlation():
    with pytest.raises(LeftOut, match="equal"):
        pearson(torch.ones(3), torch.arange(3))
    with pytest.raises(LeftOut, match="equal"):
        pearson(torch.tensor([0.3, 0.1 + 0.2, 0.3], dtype=torch.float64), torch.arange(3))


def test_equal_maps_are_alike_whatever_their_scale():
    first = torch.rand(2, 9, 8, generator=torch.Generator().manual_seed(0))
    assert structural_similarity(first, 3 * first) == pytest.approx(1)


def test_structural_similarity_by_hand():
    # One window of 1 x 2: x = (1, 0), y = (0, 1). Means 1/2, variances 1/4, covariance -1/4.
    expected = (0.5 + 1e-4) * (-0.5 + 9e-4) / ((0.5 + 1e-4) * (0.5 + 9e-4))
    assert structural_similarity(torch.tensor([[1.0, 0]]), torch.tensor([[0.0, 2]])) == pytest.approx(expected)


def test_windows_are_averaged_over_frames():
    x, y = torch.rand(2, 3, 12, 10, generator=torch.Generator().manual_seed(1)).double()
    x, y = x / x.max(), y / y.max()
    found = []
    for frame in range(3):
        for row in range(12 - 6):
            for column in range(10 - 6):
                a, b = (m[frame, row : row + 7, column : column + 7] for m in (x, y))
                covariance = ((a - a.mean()) * (b - b.mean())).mean()
                above = (2 * a.mean() * b.mean() + 1e-4) * (2 * covariance + 9e-4)
                below = (a.mean() ** 2 + b.mean() ** 2 + 1e-4) * (a.var(unbiased=False) + b.var(unbiased=False) + 9e-4)
                found.append(float(above / below))
    assert structural_similarity(x, y) == pytest.approx(sum(found) / len(found))
    with pytest.raises(LeftOut, match="0 everywhere"):
        structural_similarity(x, torch.zeros_like(x))
