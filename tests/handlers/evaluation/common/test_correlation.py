"""Correlations by hand."""

from __future__ import annotations

import pytest
import torch

from handlers.evaluation.common.correlation import pearson
from handlers.evaluation.measure import LeftOut


def test_pearson_by_hand():
    x = torch.tensor([1.0, 2, 3])
    assert pearson(x, 7 - 3 * x) == pytest.approx(-1)
    # (-1, 0, 1) and (-1, 1, 0) from their means: 1 / 2.
    assert pearson(x, torch.tensor([4.0, 6, 5])) == pytest.approx(0.5)


def test_a_constant_has_no_correlation():
    with pytest.raises(LeftOut, match="equal"):
        pearson(torch.ones(3), torch.arange(3))
