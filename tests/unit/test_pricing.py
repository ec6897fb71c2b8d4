"""What a run costs: a figure computed by hand, and the constants that must be those of the template."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from segmentation import pricing
from support.service import template

ROOT = Path(__file__).parents[2]
STATES: dict[str, Any] = yaml.safe_load((ROOT / "statemachines" / "resegment.asl.yaml").read_text())["States"]
FUNCTIONS = {
    "measure": "MeasurePartition",
    "describe": "MeasurePartition",
    "fit": "FitModels",
    "evaluate": "EvaluatePartition",
    "finish": "FinishRun",
}


def path(*choices: str) -> list[str]:
    """The states that an execution enters where all goes well; `choices` are answers other than the default."""
    found, wanted = [], list(choices)
    name = "NoteExecution"
    while True:
        found.append(name)
        state = STATES[name]
        if state["Type"] in ("Succeed", "Fail"):
            return found
        if state["Type"] == "Choice":
            offered = [choice["Next"] for choice in state["Choices"]]
            name = wanted.pop(0) if wanted and wanted[0] in offered else state["Default"]
        else:
            name = state["Next"]


def test_a_run_by_hand() -> None:
    used = {"evaluate": {"milliseconds": 64_000, "tableReads": 1_000, "tableWrites": 4_000, "fileReads": 100}}
    cost = pricing.estimate(used, {"evaluate": 16}, changes=2_000, groups=5, partitions=16)
    assert cost.parts == {
        # 64 s of 2.9375 GB, and 18 calls.
        "functions": round(188 * 0.0000133334 + 18 * 0.0000002, 6),
        # 9 states, and 3 for each of 16 workers.
        "workflow": round(57 * 0.000025, 6),
        "table": round(1_000 * 0.000000125 + 4_000 * 0.000000625, 6),
        # 2,000 entries of 2 units, 80 counters of 6 units, 4 batches.
        "stream": round(4_480 * 0.000000625 + 4 * 0.0000002, 6),
        "files": round(100 * 0.0000004, 6),
        "events": 0.002,
    }
    assert cost.total == pytest.approx(sum(cost.parts.values()), abs=3e-6)
    assert cost.currency == "USD"


def test_a_run_that_changes_nothing_has_no_cost_in_the_stream() -> None:
    cost = pricing.estimate({}, {"evaluate": 1}, changes=0, groups=50, partitions=16)
    assert (cost.parts["stream"], cost.parts["events"]) == (0.0, 0.0)


def test_rounds_of_fitting_enter_more_states() -> None:
    plain = pricing.estimate({}, {"evaluate": 4}, 0, 0, 4).parts["workflow"]
    fitted = pricing.estimate({}, {"measure": 4, "fit": 1, "evaluate": 4}, 0, 0, 4).parts["workflow"]
    described = pricing.estimate({}, {"measure": 4, "describe": 4, "fit": 1, "evaluate": 4}, 0, 0, 4).parts["workflow"]
    assert fitted - plain == pytest.approx((5 + 12) * 0.000025)
    assert described - fitted == pytest.approx((6 + 12) * 0.000025)


def test_states_are_counted_as_the_state_machine_has_them() -> None:
    assert len(path("EvaluatePartitions")) == pricing.STATES
    once = path("MeasurePartitions", "EvaluatePartitions")
    assert len(once) == pricing.STATES + pricing.STATES_OF_A_ROUND
    twice = path("MeasurePartitions", "NextRound", "EvaluatePartitions")
    assert len(twice) == pricing.STATES + 2 * pricing.STATES_OF_A_ROUND + 1
    for name in ("MeasurePartitions", "EvaluatePartitions"):
        # The begin of the worker's execution comes on top.
        assert len(STATES[name]["ItemProcessor"]["States"]) + 1 == pricing.STATES_OF_A_PART


def test_memory_is_what_the_template_gives() -> None:
    resources = template()["Resources"]
    deployed = {step: resources[name]["Properties"]["MemorySize"] for step, name in FUNCTIONS.items()}
    assert deployed == pricing.MEMORY_MB
