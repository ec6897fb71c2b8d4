"""The main job's decisions, against an API in memory: what it repeats, what it leaves alone, and what it says."""

from pathlib import Path
from typing import Any, cast

import pytest

from dev import main_job, main_job_models, main_job_run
from dev.client import ApiError, Client
from dev.local import Local, LocalStackError
from dev.main_job_models import MODELS
from dev.main_job_segments import SEGMENTS

Json = dict[str, Any]


GROUPS: list[Json] = [
    {"groupId": "b1", "name": "Low", "size": 3000, "share": 0.75},
    {"groupId": "b2", "name": "High", "size": 1000, "share": 0.25},
]
REPORTS: dict[str, Json] = {
    "rfm": {"cells": [[0] * 5] * 5},
    "cluster": {
        "k": 4,
        "customers": 4000,
        "curve": {"criterion": "davies_bouldin", "chosen": 4, "ks": [3, 4], "daviesBouldin": [1.5, 1.25]},
        "verdicts": [{"question": "largeEnough", "answer": "partly", "figure": 0.04}],
    },
    "lifetime": {
        "customers": 4000,
        "repeatCustomers": 3000,
        "expectedOrders": 9000.4,
        "totalClv": 500_000.4,
        "backTest": {"sentence": "90 orders came, 100 were predicted (+11%). It helps."},
        "fitted": {
            "months": 12,
            "bgnbd": {"r": 0.5, "alpha": 2.0, "a": 1.0, "b": 19.0},
            "gammaGamma": {"p": 2.0, "q": 3.0, "v": 60.0},
        },
    },
    "churn": {
        "customers": 4000,
        "evaluation": {"rate": 0.4, "auc": 0.78, "brier": 0.19, "baseBrier": 0.24, "folds": [{}] * 5},
        "effects": [{"name": "recencyDays", "oddsRatio": 3.5}],
    },
}
"""As much of each report as the main job reads."""


RUN: Json = {
    "status": "succeeded",
    "durationSeconds": 12.4,
    "requested": {"segmentIds": None, "refitModels": None, "now": None, "dryRun": False},
    "counts": {"customers": 4000, "entered": 7, "left": 3},
    "cost": {"currency": "USD", "total": 0.0123, "parts": {"table": 0.001, "stream": 0.0075, "functions": 0.0038}},
}
KPIS: Json = {
    "coverage": {"customers": 4000, "covered": 3000, "share": 0.75},
    "freshness": {"staleSegments": ["old"]},
    "overlap": {"pairs": [{"segmentIds": ["a", "b"], "jaccard": 0.91, "verdict": "redundant"}]},
}


class Api(Client):
    """The service as the main job sees it: an import or a fit succeeds when it is asked for the second time."""

    def __init__(self, directory: Path) -> None:
        description = {"apiUrl": "http://api", "endpointUrl": "http://aws", "region": "eu", "bucket": "shop-bucket"}
        super().__init__(Local(directory, 4566), description)
        self.jobs: list[Json] = []
        self.segments: dict[str, Json] = {}
        self.models: dict[str, Json] = {}
        self.published: list[str] = []
        self.uploads: list[str] = []
        self.runs: list[Json] = []
        self.fails: str | None = None
        self.unfit: str | None = None

    def sign_in(self) -> str:
        return "token"

    def upload(self, path: Path, key: str) -> None:
        assert path.exists()
        self.uploads.append(key)
        if key.endswith(".csv"):
            details = {"key": key}
            self.jobs.insert(
                0, {"jobId": f"import-{len(self.jobs)}", "kind": "import", "status": "queued", "details": details}
            )

    def get(self, path: str, **query: str | int) -> Json:
        match path.strip("/").split("/"):
            case ["jobs"]:
                return {"items": self.jobs, "nextToken": None}
            case ["jobs", job_id]:
                job = next(job for job in self.jobs if job["jobId"] == job_id)
                self._advance(job)
                return job
            case ["runs"]:
                return {"items": self.runs, "nextToken": None}
            case ["runs", job_id]:
                return next(run for run in self.runs if run["jobId"] == job_id)
            case ["kpis"]:
                return KPIS
            case ["models", model_id] if model_id in self.models:
                return self.models[model_id]
            case ["segments", _, "analysis"]:
                return {"metrics": {"share": 0.25, "revenueShare": 0.5}}
            case ["segments", _, "members"]:
                return {"items": [{"customerId": "C0000007"}]}
            case ["segments", segment_id] if segment_id in self.segments:
                return self.segments[segment_id]
        raise ApiError(404, f"GET {path} answered 404: not there")

    def post(self, path: str, body: Json) -> Json:
        match path.strip("/").split("/"):
            case ["runs"]:
                run = RUN | {"jobId": self._job("whole")}
                self.runs.insert(0, run)
                return run
            case ["models"]:
                return self._fit(body)
            case ["models", model_id, "publish"]:
                self.published.append(model_id)
                self.models[model_id]["publishedVersion"] = 1
                return {"segments": ["a", "b"], "jobId": self._job("run")}
        made = {**body, "customerCount": 1250, "status": "active"}
        self.segments[body["segmentId"]] = made
        return made

    def _fit(self, body: Json) -> Json:
        fitted = body["modelId"] != self.unfit
        self.models[body["modelId"]] = body | {
            "status": "fitted" if fitted else "insufficient_data",
            "statusReason": None if fitted else "3 customers are too few",
            "publishedVersion": None,
            "versions": [{"jobId": self._job("model")}],
            "groups": GROUPS,
            "report": REPORTS[body["kind"]] if fitted else None,
        }
        return self.models[body["modelId"]]

    def _job(self, kind: str) -> str:
        self.jobs.append({"jobId": f"{kind}-{len(self.jobs)}", "kind": kind, "status": "queued", "details": {}})
        return str(self.jobs[-1]["jobId"])

    def _advance(self, job: Json) -> None:
        if job["status"] == "queued":
            job |= {"status": "running", "progress": {"done": 3, "total": 10}}
        elif self.fails and self.fails in job["details"].get("key", job["kind"]):
            job |= {"status": "failed", "error": "the file is empty"}
        else:
            job |= {"status": "succeeded", "counts": {"accepted": 990, "rejected": 10}}


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setattr(main_job, "POLL_SECONDS", 0)
    monkeypatch.setattr(main_job_models, "POLL_SECONDS", 0)
    return Api(tmp_path)


def test_a_fresh_stack_gets_files_after_their_mappings_and_every_segment(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    main_job.main_job(api)
    assert api.uploads == [
        f"imports/{name}/shop/{name}.csv{suffix}" for name in main_job.DATASETS for suffix in (".mapping.json", "")
    ]
    assert list(api.segments) == [segment["segmentId"] for segment in SEGMENTS]
    said = capsys.readouterr().out
    assert "running: 3 of 10 parts done" in said and "imported: 990 rows, 10 rejected with reasons" in said
    assert "Champions                        1,250         25.0%       50.0%  C0000007" in said
    assert "Base URL: http://api" in said and said.count("curl") >= 4


def test_one_model_of_each_kind_is_fitted_published_and_told(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    main_job.main_job(api)
    assert {model["kind"] for model in MODELS} == REPORTS.keys()
    assert list(api.models) == api.published == [model["modelId"] for model in MODELS]
    said = capsys.readouterr().out
    for line in (
        "RFM: recency and frequency in 5 x 5 cells, 2 groups",
        "Low                3,000  75.0%   High               1,000  25.0%",
        "k=4 by davies bouldin (3: 1.500, 4: 1.250)",
        "Verdicts: large enough partly (0.04)",
        "While active they order every 4.0 weeks for 60.00; 5.0% stop after each order.",
        "Back-test: 90 orders came, 100 were predicted (+11%).\n  It helps.",
        "In 12 months: 9,000 orders, worth 500,000 today\n  High 1,000 (25%), Low 3,000 (75%)",
        "AUC 0.780, Brier 0.190 (one risk for all: 0.240)",
        "Odds for one standard deviation more: recencyDays x 3.50",
    ):
        assert line in said, line


def test_everything_is_run_once_and_told_with_its_cost_and_the_indicators(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    main_job.main_job(api)
    main_job.main_job(api)
    assert len(api.runs) == 1
    said = capsys.readouterr().out
    for line in (
        "Run over all segments: 4,000 customers in 12 s, 7 entered and 3 left",
        "it would have cost 0.0123 dollars, most of it stream 0.0075 and functions 0.0038",
        "75.0% of customers are in a segment; 1 segments are stale",
        "a and b are nearly the same (Jaccard 0.91)",
    ):
        assert line in said, line


def test_runs_of_some_segments_and_dry_runs_are_no_run_over_everything(api: Api) -> None:
    for asked in ({"segmentIds": ["a"]}, {"dryRun": True}, {"now": "2026-01-01"}):
        api.runs.append(RUN | {"jobId": "other", "requested": RUN["requested"] | asked})
    api.runs.append(RUN | {"jobId": "failed", "status": "failed"})
    assert main_job_run.latest(api) is None


def test_a_model_that_the_data_do_not_suffice_for_says_so_and_stays_unpublished(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    api.unfit = "value"
    main_job.main_job(api)
    assert api.published == ["rfm", "shoppers", "churn"]
    assert "Lifetime value: insufficient_data: 3 customers are too few" in capsys.readouterr().out


def test_a_model_without_values_or_back_test_is_told_without_them() -> None:
    report = REPORTS["lifetime"] | {
        "totalClv": None,
        "backTest": None,
        "backTestStatus": {"reason": "purchases span 1 days"},
        "fitted": REPORTS["lifetime"]["fitted"] | {"gammaGamma": None},
    }
    said = main_job_models.lifetime_lines({"report": report, "groups": GROUPS})
    assert said[1:4] == [
        "While active they order every 4.0 weeks; 5.0% stop after each order.",
        "purchases span 1 days.",
        "In 12 months: 9,000 orders",
    ]


def test_a_fit_that_fails_ends_the_job_with_the_reason(api: Api) -> None:
    api.fails = "model"
    with pytest.raises(LocalStackError, match=r"The job model-\d failed: the file is empty"):
        main_job.main_job(api)


def test_a_second_time_nothing_is_dropped_or_created_and_the_table_comes_again(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    main_job.main_job(api)
    uploads, capsys_before = list(api.uploads), capsys.readouterr().out
    main_job.main_job(api)
    said = capsys.readouterr().out
    assert api.uploads == uploads
    assert api.published == [model["modelId"] for model in MODELS]
    assert "already imported" in said and "segments are already" in said and "models are already" in said
    assert said.split("\nsegment ")[1] == capsys_before.split("\nsegment ")[1]


def test_only_the_file_whose_import_failed_is_dropped_again(api: Api) -> None:
    api.fails = "orders"
    with pytest.raises(LocalStackError, match=r"import of orders failed .*the file is empty"):
        main_job.import_shop(api)
    api.fails = None
    for job in api.jobs:
        if "orders" not in job["details"]["key"]:
            job |= {"status": "succeeded", "counts": {}}
    api.uploads.clear()
    main_job.import_shop(api)
    assert api.uploads == ["imports/orders/shop/orders.csv.mapping.json", "imports/orders/shop/orders.csv"]


def test_an_import_that_still_runs_is_waited_for_and_not_dropped_again(api: Api) -> None:
    for name in main_job.DATASETS:
        details = {"key": main_job.object_key(name)}
        api.jobs.append({"jobId": f"import-{name}", "kind": "import", "status": "running", "details": details})
    main_job.import_shop(api)
    assert api.uploads == []
    assert {job["status"] for job in api.jobs} == {"succeeded"}


def test_a_paused_segment_ends_the_job_with_the_reason(api: Api) -> None:
    main_job.main_job(api)
    api.segments["newcomers"] |= {"status": "paused", "statusReason": "the attribute 'signedUpAt' is gone"}
    with pytest.raises(LocalStackError, match="newcomers is paused: the attribute 'signedUpAt' is gone"):
        main_job.create_segments(api)


def test_imports_that_never_move_end_with_a_sentence(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_job, "PATIENCE_SECONDS", 0)
    with pytest.raises(LocalStackError, match="Nothing has moved for 0 s while importing customers, orders, events"):
        main_job.follow(api, {})


def test_without_a_stack_the_command_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STACK_DIR", str(tmp_path))
    assert main_job.main([]) == 1
    assert "`make run` makes one" in capsys.readouterr().err


def test_segments_come_after_those_that_their_rules_refer_to() -> None:
    known: set[str] = set()
    for segment in SEGMENTS:
        assert _references(segment["criteria"]) <= known
        known.add(cast(str, segment["segmentId"]))


def _references(criteria: Any) -> set[str]:
    if isinstance(criteria, list):
        return set().union(*(_references(part) for part in criteria))
    if isinstance(criteria, dict):
        own = {criteria["segment"]} if isinstance(criteria.get("segment"), str) else set()
        return own.union(*(_references(part) for part in criteria.values()))
    return set()
