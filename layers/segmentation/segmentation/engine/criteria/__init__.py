"""The rule language: criteria become rules, and rules are evaluated over frames, counted and explained.

The package's whole interface stands here. It must not know stores, clocks or the environment.
"""

from segmentation.engine.criteria.evaluate import Evaluation, Override, condition_counts, evaluate
from segmentation.engine.criteria.explain import explain, first_failure
from segmentation.engine.criteria.graph import missing_names, order
from segmentation.engine.criteria.parse import parse
from segmentation.engine.criteria.prepared import Prepared
from segmentation.engine.criteria.rule import Rule

__all__ = [
    "Evaluation",
    "Override",
    "Prepared",
    "Rule",
    "condition_counts",
    "evaluate",
    "explain",
    "first_failure",
    "missing_names",
    "order",
    "parse",
]
