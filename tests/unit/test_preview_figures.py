"""Figures of a preview: the same however customers are spread over partitions."""

import numpy as np

from segmentation.engine.frame import Frame, NumberColumn
from segmentation.models.segments import CustomerRevenue
from segmentation.preview_figures import Tally


def frame(spent: dict[str, float]) -> Frame:
    return Frame(len(spent), {"totalSpent": NumberColumn(np.array([*spent.values()]))}, {}, tuple(spent))


def mask(*values: int) -> np.ndarray:
    return np.array(values, dtype=bool)


def shown(customers: list[CustomerRevenue]) -> list[tuple[str, float]]:
    return [(customer.customerId, customer.revenue) for customer in customers]


def test_joins_and_leaves_come_with_their_revenue_and_the_largest_customers() -> None:
    tally = Tally(2)
    tally.compare(frame({"a": 5.0, "b": 30.1, "c": 20.2, "d": 1.0}), mask(1, 1, 1, 0), {"a", "d"})
    tally.compare(frame({"e": 25.0, "f": np.nan}), mask(1, 0), {"f"})
    assert (tally.joining.customers, tally.joining.total_revenue) == (3, 75.3)
    assert shown(tally.joining.sample()) == [("b", 30.1), ("e", 25.0)]
    assert (tally.leaving.customers, tally.leaving.total_revenue) == (2, 1.0)
    assert shown(tally.leaving.sample()) == [("d", 1.0), ("f", 0.0)]


def test_a_member_who_is_no_customer_any_more_leaves_without_revenue() -> None:
    tally = Tally(5)
    tally.compare(frame({"a": 5.0}), mask(1), {"a", "gone"})
    assert (tally.leaving.customers, tally.leaving.total_revenue) == (1, 0.0)
    assert str(tally.leaving.sample()[0].revenue) == "0.0"


def test_of_customers_with_equal_revenue_the_first_by_id_are_shown() -> None:
    spent = dict.fromkeys("abcdef", 7.0)
    whole, split = Tally(3), Tally(3)
    whole.compare(frame(spent), mask(1, 1, 1, 1, 1, 1), set())
    for part in ("bdf", "ace"):
        split.compare(frame(dict.fromkeys(part, 7.0)), mask(1, 1, 1), set())
    assert shown(whole.joining.sample()) == shown(split.joining.sample()) == [("a", 7.0), ("b", 7.0), ("c", 7.0)]


def test_no_customers_are_shown_where_none_are_wanted_but_all_are_counted() -> None:
    tally = Tally(0)
    tally.add(("a", "b"), mask(1, 1))
    tally.compare(frame({"a": 1.5, "b": 2.5}), mask(1, 1), set())
    assert (tally.sample, tally.joining.sample(), tally.joining.total_revenue) == ([], [], 4.0)
    assert (tally.customers, tally.share()) == (2, 1.0)


def test_cents_are_not_lost_in_a_million_of_customers() -> None:
    spent = dict.fromkeys(map(str, range(100_000)), 0.1)
    tally = Tally(1)
    for _ in range(10):
        tally.compare(frame(spent), np.ones(len(spent), dtype=bool), set())
    assert tally.joining.total_revenue == 100_000.0


def test_without_orders_there_is_no_revenue() -> None:
    tally = Tally(1)
    tally.compare(Frame(1, {}, {}, ("a",)), mask(1), set())
    assert (tally.joining.customers, tally.joining.total_revenue) == (1, 0.0)
    assert Tally(1).share() == 0.0
