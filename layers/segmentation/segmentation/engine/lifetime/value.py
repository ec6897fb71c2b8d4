"""What a customer is worth over the coming months, and when the next order is due.

The discounted value follows Fader, Hardie and Lee (2005), "RFM and CLV", in monthly steps; the next order follows from
the BG/NBD model's posterior of a living customer's rate. It fits nothing: models and figures are arguments.
"""

import numpy as np

from segmentation.engine.frame import Floats
from segmentation.engine.lifetime.bgnbd import BgNbd, expected_of_living, grouped, probability_alive
from segmentation.engine.lifetime.gamma_gamma import GammaGamma, mean_spend
from segmentation.errors import FieldError, InvalidInput

WEEKS_PER_MONTH = 4.345
MAXIMUM_MONTHS = 120
"""Ten years: beyond it nobody's habits hold, and the work grows with each month."""


def clv(
    bgnbd: BgNbd,
    gamma_gamma: GammaGamma,
    frequency: Floats,
    recency: Floats,
    age: Floats,
    mean_value: Floats,
    *,
    months: int = 12,
    weeks_per_month: float = WEEKS_PER_MONTH,
    monthly_rate: float = 0.01,
) -> Floats:
    """Value (n,) in money of the orders expected in the next `months`, each discounted from the end of its month.

    `weeks_per_month` is a month in the unit of recency and age; `monthly_rate` is the discount of one month. A customer
    whom `mean_spend` knows no value for gets NaN. A customer's value does not depend on the others.
    Raises InvalidInput for months outside of 1..120, a month without length, a rate of -1 or less.
    """
    _check(months, weeks_per_month, monthly_rate)
    alive = probability_alive(bgnbd, frequency, recency, age)
    # What a living customer orders hangs on frequency and age alone: there are far fewer such pairs than histories.
    pairs = grouped(frequency, np.where(frequency > 0, age, 0.0), age)
    ends = [month * weeks_per_month for month in range(1, months + 1)]
    orders = expected_of_living(bgnbd, ends, pairs.frequency, pairs.age)
    discounted = np.zeros(len(pairs.frequency))
    # Month by month: a sum over an axis rounds otherwise for one customer than for many.
    for month, more in enumerate(np.diff(orders, axis=0, prepend=0.0), start=1):
        discounted += more / (1 + monthly_rate) ** month
    value: Floats = alive * discounted[pairs.inverse] * mean_spend(gamma_gamma, frequency, mean_value)
    return value


def next_order(bgnbd: BgNbd, frequency: Floats, recency: Floats, age: Floats) -> Floats:
    """Time (n,) from now until the customer has more likely than not ordered again, in the unit of recency and age.

    A living customer's rate is gamma(r + x, alpha + T) afterwards, so that an order within t has the probability
    P(alive) * (1 - ((alpha + T) / (alpha + T + t))^(r + x)): t is where that is one half. NaN for customers who are
    as likely gone as not: of them no order is ever more likely than none.
    """
    alive = probability_alive(bgnbd, frequency, recency, age)
    exposure = bgnbd.alpha + age
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        time: Floats = exposure * np.expm1(-np.log1p(-0.5 / alive) / (bgnbd.r + frequency))
    time[~((alive > 0.5) & np.isfinite(time))] = np.nan
    return time


def _check(months: int, weeks_per_month: float, monthly_rate: float) -> None:
    errors = []
    if not 1 <= months <= MAXIMUM_MONTHS:
        errors.append(FieldError("months", f"months={months} is not between 1 and {MAXIMUM_MONTHS}"))
    if not 0 < weeks_per_month < np.inf:
        errors.append(FieldError("weeksPerMonth", f"weeksPerMonth={weeks_per_month} is not a positive number"))
    if not -1 < monthly_rate < np.inf:
        errors.append(FieldError("monthlyRate", f"monthlyRate={monthly_rate} is not a number above -1"))
    if errors:
        raise InvalidInput("; ".join(error.message for error in errors), errors)
