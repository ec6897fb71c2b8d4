"""The main job's decisions, against an API in memory: what it repeats, what it leaves alone, and what it says."""

from pathlib import Path
from typing import Any, cast

import pytest

from dev import main_job
from dev.client import ApiError, Client
from dev.local import Local, LocalStackError
from dev.main_job_segments import SEGMENTS

Json = dict[str, Any]


class Api(Client):
    """The service as the main job sees it: an import succeeds when it is asked for the second time."""

    def __init__(self, directory: Path) -> None:
        description = {"apiUrl": "http://api", "endpointUrl": "http://aws", "region": "eu", "bucket": "shop-bucket"}
        super().__init__(Local(directory, 4566), description)
        self.jobs: list[Json] = []
        self.segments: dict[str, Json] = {}
        self.uploads: list[str] = []
        self.fails: str | None = None

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
            case ["segments", _, "analysis"]:
                return {"metrics": {"share": 0.25, "revenueShare": 0.5}}
            case ["segments", _, "members"]:
                return {"items": [{"customerId": "C0000007"}]}
            case ["segments", segment_id] if segment_id in self.segments:
                return self.segments[segment_id]
        raise ApiError(404, f"GET {path} answered 404: not there")

    def post(self, path: str, body: Json) -> Json:
        made = {**body, "customerCount": 1250, "status": "active"}
        self.segments[body["segmentId"]] = made
        return made

    def _advance(self, job: Json) -> None:
        if job["status"] == "queued":
            job |= {"status": "running", "progress": {"done": 3, "total": 10}}
        elif self.fails and self.fails in job["details"]["key"]:
            job |= {"status": "failed", "error": "the file is empty"}
        else:
            job |= {"status": "succeeded", "counts": {"accepted": 990, "rejected": 10}}


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setattr(main_job, "POLL_SECONDS", 0)
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


def test_a_second_time_nothing_is_dropped_or_created_and_the_table_comes_again(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    main_job.main_job(api)
    uploads, capsys_before = list(api.uploads), capsys.readouterr().out
    main_job.main_job(api)
    said = capsys.readouterr().out
    assert api.uploads == uploads
    assert "already imported" in said and "already there" in said
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
