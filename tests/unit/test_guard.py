"""The guard of refits: what may take the published version's place, by which figures, and what it says otherwise."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from segmentation import guard
from segmentation.engine.drift.comparing import compare_clusters
from segmentation.engine.frame import BooleanColumn, Frame, NumberColumn, StringColumn
from segmentation.engine.lifetime.purchases import of_orders
from segmentation.engine.modelling.churn import ChurnModel
from segmentation.engine.modelling.cluster import ClusterModel
from segmentation.engine.modelling.lifetime import LifetimeModel
from segmentation.engine.modelling.rfm import RfmModel
from segmentation.models.models import Comparison, Held, ModelSummary, Population
from support.fitted_shops import KINDS, LABEL, fitted, shop

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def summary(kind: str) -> ModelSummary:
    return ModelSummary(
        modelId="m",
        modelName="M",
        kind=kind,
        population=Population(),
        features=[],
        parameters={"label": LABEL} if kind == "churn" else {},
        refit="on_schedule",
        status="fitted",
        latestVersion=2,
        publishedVersion=1,
        scores=[],
        createdAt=AT,
    )


def asked(kind: str, old: object, new: object, frame: Frame) -> guard.Verdict:
    purchases = of_orders(frame.events["order"]) if kind == "lifetime" else None
    return guard.verdict(summary(kind), old, new, frame, purchases, AT)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_a_version_is_not_worse_than_itself(kind: str) -> None:
    frame = shop(400)
    value = fitted(kind, frame)
    found = asked(kind, value, value, frame)
    assert (found.publish, found.reason) == (True, None)
    assert found.figures["old"] == found.figures["new"]


@pytest.mark.parametrize("kind", ["cluster", "lifetime", "churn"])
def test_a_refit_on_the_customers_of_today_is_published(kind: str) -> None:
    old, frame = fitted(kind, shop(400, seed=2)), shop(400)
    found = asked(kind, old, fitted(kind, frame, seed=3), frame)
    assert (found.publish, found.reason) == (True, None)


def groups_apart(size: int = 300) -> Frame:
    """Three clear groups, in a feature of small numbers and one of large ones."""
    random = np.random.default_rng(4)
    group = np.arange(size) % 3
    few = NumberColumn(np.array([1.0, 10.0, 30.0])[group] + random.normal(0, 0.3, size).clip(-0.9, 0.9))
    many = NumberColumn(np.array([1e3, 9e3, 2e4])[group] + random.normal(0, 100, size))
    return Frame(size, {"recencyDays": few, "orderCount": few, "totalSpent": many})


def test_clusters_that_are_less_distinct_are_not_published_whatever_their_own_space() -> None:
    frame = groups_apart()
    clear, torn = fitted("cluster", frame, k=3), fitted("cluster", frame, k=9)
    assert isinstance(clear, ClusterModel) and isinstance(torn, ClusterModel)
    found = asked("cluster", clear, torn, frame)
    assert not found.publish
    assert found.reason is not None and found.reason.startswith("its clusters are less distinct on today's customers: ")
    # More clusters always explain more: the inertia would have let them pass.
    assert (found.figures["new"]["explained"] or 0) > (found.figures["old"]["explained"] or 0)
    back = asked("cluster", torn, clear, frame)
    assert (back.publish, back.reason) == (True, None)
    assert back.figures["new"] == found.figures["old"]


def test_the_scale_of_a_models_space_gives_no_advantage() -> None:
    frame = groups_apart()
    value = fitted("cluster", frame, k=3)
    assert isinstance(value, ClusterModel)
    tenfold = replace(frame, columns={n: NumberColumn(c.values * 10) for n, c in frame.columns.items()})  # type: ignore[union-attr]
    other = fitted("cluster", tenfold, k=3)
    assert isinstance(other, ClusterModel)
    found = compare_clusters(value, other, frame)
    assert set(found.figures) == {"old", "new"}
    assert all(-1 <= (part["silhouette"] or 0) <= 1 for part in found.figures.values())


def test_clusters_are_compared_where_nobody_is_left() -> None:
    value = fitted("cluster", shop(400))
    assert asked("cluster", value, value, Frame(3)).publish


def test_a_lifetime_version_under_which_customers_are_unlikely_is_not_published() -> None:
    frame = shop(600)
    value = fitted("lifetime", frame)
    assert isinstance(value, LifetimeModel)
    strange = replace(value, bgnbd=replace(value.bgnbd, r=value.bgnbd.r * 20))
    found = asked("lifetime", value, strange, frame)
    assert not found.publish
    assert found.reason is not None and found.reason.startswith("today's customers are less likely under it: ")
    assert asked("lifetime", strange, value, frame).publish


def test_a_lifetime_version_that_forecasts_no_value_any_more_is_not_published() -> None:
    frame = shop(600)
    value = fitted("lifetime", frame)
    assert isinstance(value, LifetimeModel) and value.gamma_gamma is not None
    found = asked("lifetime", value, replace(value, gamma_gamma=None), frame)
    assert (found.publish, found.reason) == (
        False,
        "it cannot forecast the value of orders any more, which the published version does",
    )


def test_a_churn_version_that_tells_less_is_not_published() -> None:
    frame = shop(600)
    value = fitted("churn", frame)
    assert isinstance(value, ChurnModel)
    turned = replace(value.logistic, coefficients=-np.asarray(value.logistic.coefficients))
    found = asked("churn", value, replace(value, logistic=turned), frame)
    assert not found.publish
    assert found.reason is not None and found.reason.startswith("it tells who churned less well: AUC ")


def test_a_churn_version_with_wrong_risks_is_not_published_though_it_orders_them_right() -> None:
    frame = shop(600)
    value = fitted("churn", frame)
    assert isinstance(value, ChurnModel)
    shifted = replace(value.logistic, intercept=value.logistic.intercept + 4)
    found = asked("churn", value, replace(value, logistic=shifted), frame)
    assert not found.publish
    assert found.reason is not None and found.reason.startswith("its risks are further off: Brier score ")


def test_without_labels_today_there_is_nothing_against_a_refit() -> None:
    frame = shop(400)
    value = fitted("churn", frame)
    unknown = replace(frame, columns={**frame.columns, LABEL: BooleanColumn(np.full(400, -1, dtype=np.int8))})
    assert asked("churn", value, value, unknown).publish


def test_an_rfm_version_that_empties_a_group_is_not_published() -> None:
    frame = shop(400)
    value = fitted("rfm", frame)
    assert isinstance(value, RfmModel)
    high = replace(value.rfm.frequency, cuts=value.rfm.frequency.cuts + 1e9)
    found = asked("rfm", value, replace(value, rfm=replace(value.rfm, frequency=high)), frame)
    assert not found.publish
    assert found.reason is not None and "'champions'" in found.reason and "would be empty" in found.reason
    assert asked("rfm", replace(value, rfm=replace(value.rfm, frequency=high)), value, frame).publish


def test_a_published_version_that_cannot_be_applied_any_more_gives_way() -> None:
    frame = shop(400)
    value = fitted("cluster", frame)
    texts = StringColumn(np.zeros(400, dtype=np.int32), ("many",))
    found = asked("cluster", value, value, replace(frame, columns={**frame.columns, "orderCount": texts}))
    assert found.publish
    assert found.reason is not None and "'orderCount' was of type number when fitted and is string now" in found.reason


def test_a_held_model_says_which_version_it_is_held_at() -> None:
    model = summary("rfm")
    good = Comparison(against=1, publish=True)
    assert guard.reason_against(model, good) is None
    assert guard.reason_against(model, None) is None
    worse = Comparison(against=1, publish=False, reason="it is worse")
    assert guard.reason_against(model, worse) == "it was not published: it is worse; version 1 stays"
    held = model.model_copy(update={"held": Held(version=1, before=2, at=AT)})
    assert guard.reason_against(held, good) == (
        "it was not published: the model is held at version 1 since 2026-03-01; "
        "publish a newer version by hand to go on"
    )
