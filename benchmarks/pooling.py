"""What a fit on a sample and on counts loses against a fit on all customers in one process.

`python -m benchmarks.pooling [--customers N]` fits every kind both ways on the shop of `benchmarks.models`, and prints
how far the figures are apart.
"""

import argparse
from collections.abc import Sequence

import numpy as np

from benchmarks.models import COUNTRY, FEATURES, NOW, RISK, SEED, SELECTION, TIERS, frame_of, purchases_of
from segmentation.engine.frame import Frame, Rows
from segmentation.engine.lifetime import bgnbd, gamma_gamma
from segmentation.engine.lifetime.bgnbd import BgNbd
from segmentation.engine.lifetime.gamma_gamma import GammaGamma
from segmentation.engine.lifetime.purchases import Purchases, summarise, taken
from segmentation.engine.modelling import churn, cluster, lifetime, rfm
from segmentation.engine.modelling.pooled import pooled
from segmentation.engine.preprocess.steps import Scaled
from segmentation.engine.preprocess.values import FEATURES as NUMBERS
from segmentation.engine.rfm.scoring import DIMENSIONS, Binning, KMeansBins, Quantiles
from segmentation.engine.sketches import histogram, histories
from segmentation.engine.sketches.hashing import hashes
from segmentation.engine.sketches.histogram import VALUES, Bounds
from segmentation.fitting import SAMPLE
from segmentation.recipes import RFM_ATTRIBUTES

CLUSTERS = (3, 5, 8, 12)
HISTORY_CELLS = (1 / 4, 1 / 10)
VALUE_CELLS = (100_000, 20_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    customers = parser.parse_args().customers
    random = np.random.default_rng(SEED)
    bought = purchases_of(customers, random)
    every = frame_of(bought, random)
    known = {*RFM_ATTRIBUTES, *(feature.name for feature in FEATURES), "country", "churned"}
    frame = Frame(customers, {name: column for name, column in every.columns.items() if name in known})
    rows = np.argsort(hashes([f"customer {number}" for number in range(customers)]))[:SAMPLE]
    print(f"{customers:,} customers, a sample of {len(rows):,}. Differences are relative to the fit on all.\n")
    for binning in (Quantiles(5), KMeansBins(5)):
        cut_points(frame, binning)
    clusters(frame, rows)
    risk(frame, rows)
    forecasts(bought, rows)


def cut_points(frame: Frame, binning: Binning) -> None:
    """RFM by histograms against all values."""
    one, _, groups = rfm.fit(frame, RFM_ATTRIBUTES, binning, None)
    brought = pooled([rfm.pool(frame, RFM_ATTRIBUTES)], VALUES)
    found = rfm.fit_pooled(brought, RFM_ATTRIBUTES, binning, None)
    pairs = [(getattr(found.rfm, name).cuts, getattr(one.rfm, name).cuts) for name in DIMENSIONS]
    _, _, others = rfm.complete(found, rfm.describe(found, frame))
    moved = sum(abs(ours.size - theirs.size) for ours, theirs in zip(others, groups, strict=True))
    furthest = max(_apart(ours, theirs) for ours, theirs in pairs)
    print(f"RFM cut points, {type(binning).__name__}: {furthest:.1e}; sizes of groups differ by {moved} customers")


def clusters(frame: Frame, rows: Rows) -> None:
    """Clusters of the sample against those of all."""
    brought = pooled([cluster.pool(frame, FEATURES)], NUMBERS)
    for k in CLUSTERS:
        parameters = cluster.ClusterParameters("kmeans", k, (2, 12), "silhouette", 10, 1, SELECTION, 0)
        one, all_report, _ = cluster.fit(frame, FEATURES, parameters, "m")
        model, report, _ = cluster.fit(frame.take(rows), FEATURES, parameters, "m", pooled=brought)
        _, report, _ = cluster.complete(model, report, cluster.describe(model, frame), "m")
        more = report.quality.inertia / all_report.quality.inertia - 1
        print(f"inertia of k={k} over all: {more:.4%} more; scales: {_apart(_scales(model), _scales(one)):.1e}")


def risk(frame: Frame, rows: Rows) -> None:
    """A churn model learnt from the sample against one learnt from all."""
    features = (*FEATURES, COUNTRY)
    _, one, groups = churn.fit(frame, features, RISK)
    model, report, _ = churn.fit(frame.take(rows), features, RISK)
    _, others = churn.complete(model, report, churn.describe(model, frame, RISK))
    sizes = _apart([group.size for group in others], [group.size for group in groups])
    print(f"AUC of churn: {report.evaluation.auc:.4f}, not {one.evaluation.auc:.4f}; sizes of bands: {sizes:.2%}")


def forecasts(bought: Purchases, rows: Rows) -> None:
    """Lifetime by counted histories and values against all, and with fewer cells than they need."""
    one, one_report, _ = lifetime.fit(bought, NOW, TIERS)
    brought = pooled([lifetime.pool(bought, NOW)], lifetime.SPENDING)
    model, report = lifetime.fit_pooled(brought, taken(bought, rows), NOW, TIERS)
    counts = brought.histories
    print(f"BG/NBD by {len(counts.count):,} distinct histories: {_of_orders(model.bgnbd, one.bgnbd):.1e}")
    for share in HISTORY_CELLS:
        cells = histories.merged([counts], int(share * len(counts.count)))
        weight = cells.count.astype(np.float64)
        recency, age = cells.recency / (7 * weight), cells.age / (7 * weight)
        found = bgnbd.fit(cells.frequency.astype(np.float64), recency, age, weight)
        print(f"BG/NBD by {len(cells.count):,} cells: {_of_orders(found, one.bgnbd):.3%}")
    print(f"Gamma-Gamma by counted values: {_of_values(model.gamma_gamma, one.gamma_gamma):.1e}")
    summary = summarise(bought, lifetime.day_of(NOW))
    for most in VALUE_CELLS:
        values = histogram.of_values(summary.mean_value, Bounds(1, most), summary.frequency.astype(np.int64))
        middles = values.low + (values.high - values.low) / 2
        spent = gamma_gamma.fit(values.group.astype(np.float64), middles, values.count.astype(np.float64))
        print(f"Gamma-Gamma by {len(values.count):,} cells: {_of_values(spent, one.gamma_gamma):.4%}")
    if report.back_test and one_report.back_test:
        print(f"skill of the back-test: {report.back_test.skill:.3f}, not {one_report.back_test.skill:.3f}")


def _of_orders(found: BgNbd, one: BgNbd) -> float:
    return _apart([found.r, found.alpha, found.a, found.b], [one.r, one.alpha, one.a, one.b])


def _of_values(found: GammaGamma | None, one: GammaGamma | None) -> float:
    assert found is not None
    assert one is not None
    return _apart([found.p, found.q, found.v], [one.p, one.q, one.v])


def _scales(model: cluster.ClusterModel) -> list[float]:
    return [step.scale for step in model.points.chain.steps if isinstance(step, Scaled)]


def _apart(found: Sequence[float], one: Sequence[float]) -> float:
    """The largest relative difference."""
    return float(np.max(np.abs(np.array(found) / np.array(one) - 1)))


if __name__ == "__main__":
    main()
