"""Element Shapley Values (Play Fair): each frame's fair share in every class score.

>>> found = relational_values(consensus, features, prior)  # features [n, D], n <= 16: exact, all classes
>>> found.values                                           # [n, K]; sums to found.whole - found.empty
>>> found.values[:, a] - found.values[:, b]                # class-contrastive: why a and not b

The value of a subsequence is the softmax of what the model says about it, that of none of the frames the class prior.
`average_values`, and nothing else here, takes their logarithms.
"""

from handlers.explainers.shapley.average import average_levels, average_values, sample_average
from handlers.explainers.shapley.elements import Elements
from handlers.explainers.shapley.exact import Shapley, shapley
from handlers.explainers.shapley.relational import relational_levels, relational_values
from handlers.explainers.shapley.sampled import sample
from handlers.explainers.shapley.subsets import levels, row_of
from handlers.explainers.shapley.sums import Sums, sums_of

__all__ = [
    "Elements",
    "Shapley",
    "Sums",
    "average_levels",
    "average_values",
    "levels",
    "relational_levels",
    "relational_values",
    "row_of",
    "sample",
    "sample_average",
    "shapley",
    "sums_of",
]
