"""Lifetime models with given parameters, whatever they were fitted on."""

from segmentation.engine.lifetime.bgnbd import BgNbd
from segmentation.engine.lifetime.gamma_gamma import GammaGamma


def orders_model(r: float, alpha: float, a: float, b: float) -> BgNbd:
    return BgNbd(
        r=r,
        alpha=alpha,
        a=a,
        b=b,
        log_likelihood=0.0,
        standard_errors=(0.0,) * 4,
        customers=1,
        rows=1,
        iterations=1,
        newcomers=0,
    )


def spend_model(p: float, q: float, v: float) -> GammaGamma:
    return GammaGamma(
        p=p, q=q, v=v, log_likelihood=0.0, standard_errors=(0.0,) * 3, customers=1, correlation=0.0, iterations=1
    )
