"""Lifetime models fitted and applied, beside the package `lifetimes`: `python -m benchmarks.lifetime [customers]`.

CDNOW's 2,357 customers, where the file is there, and a simulated shop of two years whose customers buy as CDNOW's do,
to the day. One thread, the same columns for both; fits start from nothing, expectations from the same parameters.
Results are compared before times are; figures are medians.
"""

import gc
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import lifetimes
import numpy as np
import pandas as pd

from segmentation.engine.frame import Floats
from segmentation.engine.lifetime import bgnbd, gamma_gamma, value
from support.cdnow import summary_of_cdnow
from support.purchasing import customers

DATA = Path(os.environ.get("SEGMENTATION_DATA", Path(__file__).parents[2] / "shared" / "data"))
CDNOW = {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426}
SPEND = {"p": 6.25, "q": 3.74, "v": 15.44}
WEEKS = 104
HORIZON = 39.0
ROUNDS = 3
ROUNDS_SMALL = 25

Columns = tuple[Floats, Floats, Floats, Floats]
Rows = list[tuple[str, float, float]]
"""What was done, and the median seconds of the engine and of `lifetimes`."""


def shop(size: int) -> Columns:
    """Frequency, recency, age in weeks and mean value of repeat purchases (0 for none)."""
    x, recency, age = customers(size, 20240601, weeks=WEEKS, **CDNOW)
    random = np.random.default_rng(20240602)
    p, q, v = SPEND.values()
    spent = random.gamma(p * np.maximum(x, 1)) / random.gamma(q, 1 / v, size)
    return x, recency, age, np.where(x > 0, spent / np.maximum(x, 1), 0.0)


# --------------------------------------------------------------------------- the peer's models


def peer_orders(columns: Columns) -> lifetimes.BetaGeoFitter:
    return lifetimes.BetaGeoFitter().fit(*columns[:3])


def peer_spend(columns: Columns) -> lifetimes.GammaGammaFitter:
    repeat = columns[0] > 0
    return lifetimes.GammaGammaFitter().fit(columns[0][repeat], columns[3][repeat])


def same_orders(model: bgnbd.BgNbd) -> lifetimes.BetaGeoFitter:
    """The peer with our parameters."""
    fitter = lifetimes.BetaGeoFitter()
    fitter.params_ = pd.Series({"r": model.r, "alpha": model.alpha, "a": model.a, "b": model.b})
    fitter.predict = fitter.conditional_expected_number_of_purchases_up_to_time
    return fitter


def same_spend(model: gamma_gamma.GammaGamma) -> lifetimes.GammaGammaFitter:
    fitter = lifetimes.GammaGammaFitter()
    fitter.params_ = pd.Series({"p": model.p, "q": model.q, "v": model.v})
    return fitter


def peer_value(orders: lifetimes.BetaGeoFitter, spend: lifetimes.GammaGammaFitter, columns: Columns) -> Floats:
    series = (pd.Series(column) for column in columns)
    result: Floats = spend.customer_lifetime_value(orders, *series, time=12, discount_rate=0.01, freq="W").to_numpy()
    return result


# -------------------------------------------------------------------------------- the contest


def require_equal(name: str, ours: object, theirs: object, tolerance: float) -> None:
    """Raises AssertionError unless the figures agree relatively."""
    one, other = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if not np.allclose(one, other, rtol=tolerance, atol=1e-9):
        raise AssertionError(f"{name}: the engine has {one}, lifetimes {other}")


def medians(rounds: int, *contestants: Callable[[], object]) -> list[float]:
    """Every round runs everybody once."""
    seconds: list[list[float]] = [[] for _ in contestants]
    for _ in range(rounds):
        for run, taken in zip(contestants, seconds, strict=True):
            gc.collect()
            begin = time.perf_counter()
            run()
            taken.append(time.perf_counter() - begin)
    return [statistics.median(taken) for taken in seconds]


def measured(columns: Columns, rounds: int) -> tuple[Rows, bgnbd.BgNbd]:
    """Both fitted and applied; the first answers are compared and count as the warm-up."""
    x, recency, age, mean_value = columns
    histories = x, recency, age
    orders, spend = bgnbd.fit(*histories), gamma_gamma.fit(x, mean_value)
    theirs, theirs_spend = peer_orders(columns).params_, peer_spend(columns).params_
    require_equal("BG/NBD", (orders.r, orders.alpha, orders.a, orders.b), theirs, 0.01)
    require_equal("Gamma-Gamma", (spend.p, spend.q, spend.v), theirs_spend, 0.01)
    peer, peer_of_spend = same_orders(orders), same_spend(spend)
    expected = bgnbd.expected_orders(orders, HORIZON, *histories)
    require_equal("expected orders", expected, peer.predict(HORIZON, *histories), 1e-5)
    alive = bgnbd.probability_alive(orders, *histories)
    require_equal("P(alive)", alive, peer.conditional_probability_alive(*histories), 1e-9)
    worth = value.clv(orders, spend, x, recency, age, mean_value)
    require_equal("CLV", worth, peer_value(peer, peer_of_spend, columns), 1e-5)
    steps: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "BG/NBD fit": (lambda: bgnbd.fit(*histories), lambda: peer_orders(columns)),
        "Gamma-Gamma fit": (lambda: gamma_gamma.fit(x, mean_value), lambda: peer_spend(columns)),
        "P(alive)": (
            lambda: bgnbd.probability_alive(orders, *histories),
            lambda: peer.conditional_probability_alive(*histories),
        ),
        "expected orders, 39 weeks": (
            lambda: bgnbd.expected_orders(orders, HORIZON, *histories),
            lambda: peer.predict(HORIZON, *histories),
        ),
        "value of 12 months": (
            lambda: value.clv(orders, spend, x, recency, age, mean_value),
            lambda: peer_value(peer, peer_of_spend, columns),
        ),
    }
    rows: Rows = []
    for name, contestants in steps.items():
        engine, other = medians(rounds, *contestants)
        rows.append((name, engine, other))
    return rows, orders


def report(title: str, rows: Rows, model: bgnbd.BgNbd) -> None:
    (_, orders, orders_peer), (_, spend, spend_peer) = rows[:2]
    rows = [*rows[:2], ("both fits", orders + spend, orders_peer + spend_peer), *rows[2:]]
    print(f"\n{title}, {model.rows:,} distinct histories\n")
    print("| step | engine, ms | lifetimes, ms | times faster |\n|---|---|---|---|")
    for name, engine, other in rows:
        print(f"| {name} | {engine * 1e3:,.1f} | {other * 1e3:,.1f} | {other / engine:,.0f} |")


def main() -> None:
    size = int((sys.argv[1:] or ["1000000"])[0])
    # lifetimes tries logarithms of 0 on its way, and uses calls that pandas and autograd will drop.
    warnings.simplefilter("ignore")
    print(f"{platform.machine()}, {os.cpu_count()} cores, one thread, Python {platform.python_version()}, ", end="")
    print(", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "pandas", "lifetimes")))
    if DATA.is_dir():
        cdnow = summary_of_cdnow(DATA)
        rows, model = measured((cdnow["x"], cdnow["t_x"], cdnow["T"], cdnow["zbar"]), ROUNDS_SMALL)
        report(f"CDNOW, {model.customers:,} customers", rows, model)
    else:
        print(f"\nCDNOW is not at {DATA}; set SEGMENTATION_DATA.")
    rows, model = measured(shop(size), ROUNDS)
    report(f"Simulated shop, {model.customers:,} customers in {WEEKS} weeks", rows, model)


if __name__ == "__main__":
    # Libraries read the number of threads when they are loaded.
    if os.environ.get("OMP_NUM_THREADS") != "1" or os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.lifetime", *sys.argv[1:]])
    main()
