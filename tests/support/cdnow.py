"""The CDNOW files as arrays: transactions as purchase days, and the published summary of their calibration period."""

from pathlib import Path

import numpy as np

from segmentation.engine.features import offsets_of
from segmentation.engine.frame import EventTable, Floats, NumberColumn
from segmentation.engine.lifetime.purchases import Purchases, of_orders

CALIBRATION_END = int(np.datetime64("1997-09-30", "D").astype(np.int64))
END = int(np.datetime64("1998-06-30", "D").astype(np.int64))


def purchases_of_cdnow(data: Path) -> Purchases:
    """Of the 2,357 customers in the order of their sample ids, free orders included."""
    ids, dates, amounts = [], [], []
    for line in (data / "cdnow" / "CDNOW_sample.txt").read_text().splitlines():
        _, sample_id, date, _, dollars = line.split()
        ids.append(int(sample_id) - 1)
        dates.append(f"{date[:4]}-{date[4:6]}-{date[6:]}")
        amounts.append(float(dollars))
    customer, time = np.array(ids), np.array(dates, dtype="datetime64[us]")
    rows = np.lexsort((time, customer))
    offsets = offsets_of(customer[rows], int(customer.max()) + 1)
    return of_orders(EventTable(offsets, time[rows], {"amount": NumberColumn(np.array(amounts)[rows])}))


def summary_of_cdnow(data: Path) -> dict[str, Floats]:
    """Columns x, t_x, T (weeks, rounded to two digits) and zbar, in the order of the sample ids."""
    path = data / "cdnow" / "cdnow_customers_summary_with_transactions.csv"
    table = np.genfromtxt(path, delimiter=",", names=True)
    return {name: table[name].astype(np.float64) for name in ("x", "t_x", "T", "zbar")}
