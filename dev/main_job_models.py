"""One model of each kind on the shop: fitted together, published together, and what they found in a few lines.

What is there already is left alone. It knows the service by its API only.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Any

from dev.client import Client, Json
from dev.local import LocalStackError

POLL_SECONDS = 1.0
PATIENCE_SECONDS = 300
ENDED = ("succeeded", "failed")
COLUMNS = 3
STRONGEST = 3

MODELS: tuple[dict[str, Any], ...] = (
    {
        "modelId": "rfm",
        "modelName": "RFM",
        "kind": "rfm",
        "description": "How recently, how often and for how much",
    },
    {
        "modelId": "shoppers",
        "modelName": "Shoppers",
        "kind": "cluster",
        "description": "Who buys alike: how recently, how often, and how much at a time",
        # Numbers that are many times as large for a few: differences in their logarithms are what people mean by more.
        "features": [
            {"attribute": "recencyDays", "log1p": True},
            {"attribute": "orderCount", "log1p": True},
            {"attribute": "averageOrderValue", "log1p": True},
        ],
        "parameters": {"kRange": [3, 8], "restarts": 5},
    },
    {
        "modelId": "value",
        "modelName": "Lifetime value",
        "kind": "lifetime",
        "description": "Orders and value of the next twelve months",
    },
    {
        "modelId": "churn",
        "modelName": "Churn",
        "kind": "churn",
        "description": "Who is about to close the account",
        "features": [
            {"attribute": "recencyDays", "log1p": True},
            {"attribute": "orderCount", "log1p": True},
            {"attribute": "averageOrderValue", "log1p": True},
            "tenureDays",
        ],
        "parameters": {"label": "accountClosed"},
    },
)


def start_models(client: Client) -> None:
    """Start the fits of the models that are missing; nobody waits for one before the next begins."""
    for model in MODELS:
        if client.find(f"/models/{model['modelId']}") is None:
            client.post("/models", model)


def publish_models(client: Client) -> None:
    """Wait for all fits, publish what can be, and wait until the runs have filled the segments.

    A model that the data did not suffice for stays unpublished. Raises LocalStackError for a job that failed.
    """
    ids = [model["modelId"] for model in MODELS]
    wait(client, (client.get(f"/models/{model_id}")["versions"][-1]["jobId"] for model_id in ids))
    ready = [
        model_id
        for model_id in ids
        if (model := client.get(f"/models/{model_id}"))["status"] == "fitted" and not model["publishedVersion"]
    ]
    if not ready:
        print("The models are already there.")
        return
    runs = []
    for model_id in ready:
        published = client.post(f"/models/{model_id}/publish", {})
        print(f"  {model_id:<22} published: {len(published['segments'])} segments", flush=True)
        runs.append(published["jobId"])
    wait(client, runs)


def wait(client: Client, jobs: Iterable[str]) -> None:
    """Return once all jobs have succeeded. Raises LocalStackError for one that failed, or that takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    for job_id in jobs:
        while (job := client.get(f"/jobs/{job_id}"))["status"] not in ENDED:
            if time.monotonic() > deadline:
                raise LocalStackError(f"The job {job_id} has not ended in {PATIENCE_SECONDS} s; run this again.")
            time.sleep(POLL_SECONDS)
        if job["status"] == "failed":
            raise LocalStackError(f"The job {job_id} failed: {job.get('error')}.")


# -------------------------------------------------------------------- output


def print_models(client: Client) -> None:
    """What each model found, or why it found nothing."""
    tell = {"rfm": rfm_lines, "cluster": cluster_lines, "lifetime": lifetime_lines, "churn": churn_lines}
    for wanted in MODELS:
        model = client.get(f"/models/{wanted['modelId']}")
        title, *lines = (
            tell[model["kind"]](model) if model["report"] else [f"{model['status']}: {model['statusReason']}"]
        )
        print(f"\n{model['modelName']}: {title}")
        for line in lines:
            print(f"  {line}")


def rfm_lines(model: Json) -> list[str]:
    """Customers of every group, in columns."""
    bins = len(model["report"]["cells"])
    cells = [f"{group['name']:<17} {group['size']:>6,} {group['share']:>6.1%}" for group in model["groups"]]
    rows = ["   ".join(cells[first : first + COLUMNS]) for first in range(0, len(cells), COLUMNS)]
    return [f"recency and frequency in {bins} x {bins} cells, {len(cells)} groups", *rows]


def cluster_lines(model: Json) -> list[str]:
    """The clusters with their names, why there are so many, and the verdicts on them."""
    report = model["report"]
    names = ", ".join(feature if isinstance(feature, str) else feature["attribute"] for feature in model["features"])
    verdicts = ", ".join(
        f"{words(each['question'])} {each['answer']} ({each['figure']:.2f})" for each in verdicts_of(model)
    )
    return [
        f"{report['k']} clusters of {report['customers']:,} customers by {names}",
        *([why_so_many(report["curve"])] if report["curve"] else []),
        *(
            f"{group['groupId']:<3} {group['size']:>6,} {group['share']:>6.1%}  {group['name']}"
            for group in model["groups"]
        ),
        f"Verdicts: {verdicts}",
    ]


def why_so_many(curve: Json) -> str:
    """The criterion for every number of clusters that was tried, and the number that it chose."""
    values = curve[camel(curve["criterion"])]
    tried = ", ".join(f"{k}: {value:.3f}" for k, value in zip(curve["ks"], values, strict=True))
    return f"k={curve['chosen']} by {curve['criterion'].replace('_', ' ')} ({tried})"


def lifetime_lines(model: Json) -> list[str]:
    """What the parameters say of a customer, the back-test, and the value that is to come with its tiers."""
    report, fitted = model["report"], model["report"]["fitted"]
    purchases, spending = fitted["bgnbd"], fitted["gammaGamma"]
    weeks, stops = purchases["alpha"] / purchases["r"], purchases["a"] / (purchases["a"] + purchases["b"])
    test = report["backTest"]
    return [
        f"{report['customers']:,} customers, {report['repeatCustomers']:,} of them came back",
        f"While active they order every {weeks:.1f} weeks{typical_order(spending)}; {stops:.1%} stop after each order.",
        *sentences(f"Back-test: {test['sentence']}" if test else report["backTestStatus"]["reason"]),
        f"In {fitted['months']} months: {report['expectedOrders']:,.0f} orders{total(report)}",
        tiers_of(model),
    ]


def churn_lines(model: Json) -> list[str]:
    """How well churn is told, and by what."""
    report = model["report"]
    found, label = report["evaluation"], model["parameters"]["label"]
    effects = ", ".join(f"{each['name']} x {each['oddsRatio']:.2f}" for each in report["effects"][:STRONGEST])
    return [
        f"{report['customers']:,} customers with a known {label}, {found['rate']:.1%} of them true",
        f"On {len(found['folds'])} folds that the fit had not seen: AUC {found['auc']:.3f}, "
        f"Brier {found['brier']:.3f} (one risk for all: {found['baseBrier']:.3f})",
        f"Odds for one standard deviation more: {effects}",
        tiers_of(model),
    ]


def verdicts_of(model: Json) -> Sequence[Json]:
    verdicts: Sequence[Json] = model["report"]["verdicts"]
    return verdicts


def tiers_of(model: Json) -> str:
    """Groups from the highest, in one line."""
    return ", ".join(f"{each['name']} {each['size']:,} ({each['share']:.0%})" for each in model["groups"][::-1])


def typical_order(spending: Json | None) -> str:
    """The mean of the spending model, where it has one."""
    if not spending or spending["q"] <= 1:
        return ""
    return f" for {spending['p'] * spending['v'] / (spending['q'] - 1):,.2f}"


def total(report: Json) -> str:
    value = report["totalClv"]
    return "" if value is None else f", worth {value:,.0f} today"


def sentences(text: str) -> list[str]:
    """A line for each sentence."""
    return [f"{part.rstrip('.')}." for part in text.split(". ")]


def words(name: str) -> str:
    """`largeEnough` as `large enough`."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)


def camel(name: str) -> str:
    """`calinski_harabasz` as the report calls it."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
