"""What others do in the middle of an evaluation."""

from collections.abc import Callable
from typing import Any

import pytest

from segmentation.partition_evaluation import Evaluation


def before_writing(patch: pytest.MonkeyPatch, meanwhile: Callable[[], None]) -> None:
    """Call `meanwhile` whenever a worker has found who is in and is about to write it."""
    whole = Evaluation.write

    def write(evaluation: Evaluation, *arguments: Any) -> dict[str, int]:
        meanwhile()
        return whole(evaluation, *arguments)

    patch.setattr(Evaluation, "write", write)
