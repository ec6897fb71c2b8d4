"""The tree of an agglomerative clustering: who joined whom at which height, cut where k clusters remain.

It knows neither points nor linkages.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from segmentation.engine.frame import Bools, Codes, Floats


@dataclass(frozen=True, eq=False)
class Tree:
    """A binary tree over `leaves` rows. Node i < leaves is a row, node leaves + t is what merge t made.

    `children` (leaves - 1, 2): the two nodes of each merge, made before it. `heights` (leaves - 1): never lower than
    the heights of the children.
    """

    leaves: int
    children: Codes
    heights: Floats


def tree(leaves: int, children: Iterable[tuple[int, int]], heights: Iterable[float]) -> Tree:
    """The tree of merges in the order in which they were made, which need not be by height.

    A height that rounding put below a child's is raised to it: the linkages here cannot invert.
    """
    pairs = list(children)
    raised = list(heights)
    for merge, pair in enumerate(pairs):
        below = [raised[node - leaves] for node in pair if node >= leaves]
        raised[merge] = max(raised[merge], *below) if below else raised[merge]
    return Tree(leaves, np.array(pairs, dtype=np.int32).reshape(-1, 2), np.array(raised, dtype=np.float64))


def cut(dendrogram: Tree, k: int) -> Codes:
    """Label of every row, 0 .. k - 1 in no special order, where the k - 1 highest merges are undone."""
    return cut_below(dendrogram, highest(dendrogram, k - 1))[0]


def highest(dendrogram: Tree, count: int) -> Codes:
    """The last `count` merges, by height; of equal heights the one made later is the higher. Ascending."""
    order = np.argsort(dendrogram.heights, kind="stable").astype(np.int32)
    return order[len(order) - count :]


def cut_below(dendrogram: Tree, undone: Codes) -> tuple[Codes, Codes]:
    """Label of every row and node of every label, where the merges `undone` are; they hold all above any of them."""
    leaves, nodes = dendrogram.leaves, dendrogram.leaves + len(dendrogram.heights)
    kept: Bools = np.ones(len(dendrogram.heights), dtype=np.bool_)
    kept[undone] = False
    above = np.arange(nodes, dtype=np.int32)
    above[dendrogram.children[kept]] = (leaves + np.flatnonzero(kept)).astype(np.int32)[:, None]
    while True:
        further = above[above]
        if np.array_equal(further, above):
            break
        above = further
    roots, labels = np.unique(above[:leaves], return_inverse=True)
    return labels.astype(np.int32), roots.astype(np.int32)


def top(dendrogram: Tree, count: int) -> tuple[Codes, Codes, Floats]:
    """The last `count` merges as a tree of their own, for a drawing.

    Its leaves 0 .. count are the clusters before these merges, in the order of `cut(dendrogram, count + 1)`; merge t
    of them makes node count + 1 + t. Returns the label of every row among the leaves, `merges` (count, 2), `heights`.
    """
    merges = highest(dendrogram, count)
    labels, roots = cut_below(dendrogram, merges)
    number = np.full(dendrogram.leaves + len(dendrogram.heights), -1, dtype=np.int32)
    number[roots] = np.arange(len(roots))
    number[dendrogram.leaves + merges] = len(roots) + np.arange(len(merges))
    return labels, number[dendrogram.children[merges]], dendrogram.heights[merges]
