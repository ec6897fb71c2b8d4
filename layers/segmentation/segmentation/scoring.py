"""Scores of published models as columns of frames: computed where they are read, from the customers as they are now.

A score is a feature like any other to whoever asks for it: rules, analyses, exports and profiles do not know where it
comes from.
"""

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from segmentation.engine.document import from_document
from segmentation.engine.frame import Column, Frame
from segmentation.engine.modelling.kinds import FITTED, Fitted, score
from segmentation.errors import NotFound, TooBusy
from segmentation.store import models
from segmentation.store.files import Files
from segmentation.store.scorers import Scorer

Models = Sequence[tuple[Scorer, Fitted]]
"""Published models in the order in which they score."""


def load(files: Files, scorers: Sequence[Scorer]) -> Models:
    """The fitted versions of these models. Raises TooBusy if one was deleted meanwhile: a repetition knows that."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(zip(scorers, pool.map(lambda scorer: _fitted(files, scorer), scorers), strict=True))


def fitted(kind: str, document: Mapping[str, Any]) -> Fitted:
    """A fitted model from its document."""
    return from_document(FITTED[kind], document)


def scored(frame: Frame, found: Models, now: np.datetime64) -> Frame:
    """The frame with a column for every score of these models, at `now`."""
    columns: dict[str, Column] = dict(frame.columns)
    for scorer, model in found:
        columns |= score(model, replace(frame, columns=columns), now, scorer.model_id)
    return replace(frame, columns=columns)


def inputs(scorers: Collection[Scorer], names: Collection[str]) -> tuple[set[str], bool]:
    """What must be read instead of these names: attributes without scores, and whether orders are needed."""
    scores = {name for scorer in scorers for name in scorer.scores}
    attributes = {*names, *(name for scorer in scorers for name in scorer.attributes)}
    return attributes - scores, any(scorer.needs_orders for scorer in scorers)


def _fitted(files: Files, scorer: Scorer) -> Fitted:
    try:
        document = models.read_file(files, scorer.model_id, scorer.version)
    except NotFound:
        raise TooBusy(f"the model {scorer.model_id!r} was deleted a moment ago; try again") from None
    return fitted(scorer.kind, document["model"])
