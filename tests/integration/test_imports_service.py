"""Files from the bucket to memberships, on moto: what arrives, what is rejected, what faults leave behind."""

import gzip
from typing import Any

import pytest

from segmentation import authoring, customers, import_jobs, job_reads, members, partition_runs, runs, segments
from segmentation.errors import NotFound, TooBusy
from segmentation.models.customers import PutCustomer
from segmentation.models.jobs import Job
from segmentation.models.segments import CreateSegment
from segmentation.partition_evaluation import Evaluation
from segmentation.store import jobs, keys, pointers
from support.service import Service

CUSTOMERS = "customerId,country,age\n" + "".join(f"c{n},{'DE' if n % 2 else 'US'},{20 + n}\n" for n in range(20))
ORDERS = "orderId,customerId,orderedAt,amount,category\n" + "".join(
    f"o{n},c{n % 20},2026-02-{1 + n % 28:02d}T10:00:00Z,{10 + n},{'shoes' if n % 3 else 'hats'}\n" for n in range(60)
)
BUYERS = [
    {"attribute": "orderCount", "operator": "gte", "value": 3},
    {"attribute": "country", "operator": "eq", "value": "DE"},
]


def job(service: Service, key: str) -> Job:
    return job_reads.get(service.store, import_jobs.job_id_of(service.event(key)["detail"]["object"]))


def ids(service: Service, segment_id: str) -> set[str]:
    listed = members.list_members(service.store, segment_id, "members", 1000, None, service.now)
    return {member.customerId for member in listed.items}


def create(service: Service, segment_id: str, criteria: Any) -> None:
    request = CreateSegment(segmentName=segment_id, segmentId=segment_id, criteria=criteria)
    authoring.create(service.store, request, service.now)
    service.settle()


def state(service: Service) -> dict[str, Any]:
    """Everything that an import must not change when it comes twice."""
    items = service.dynamodb.scan(TableName="segmentation")["Items"]
    kept = {
        (i["PK"]["S"], i["SK"]["S"]): i
        for i in items
        if i["PK"]["S"].startswith(("PARTITION#", "SEGMENT#", "CATALOGUE"))
    }
    times = ("measuredAt", "evaluatedAt", "report", "statistics")
    return {key: {n: v for n, v in item.items() if n not in times} for key, item in kept.items()}


@pytest.fixture
def shop(service: Service) -> Service:
    service.drop("imports/customers/c.csv", CUSTOMERS)
    service.drop("imports/orders/o.csv", ORDERS)
    service.settle()
    return service


def test_dropped_files_become_customers_features_and_members(shop: Service) -> None:
    done = job(shop, "imports/orders/o.csv")
    assert (done.status, done.counts["accepted"], done.counts["rejected"]) == ("succeeded", 60, 0)
    assert done.progress
    assert done.progress.done == done.progress.total
    create(shop, "buyers", BUYERS)
    assert ids(shop, "buyers") == {f"c{n}" for n in range(1, 20, 2)}
    found = customers.get(shop.store, "c1", shop.now)
    assert found.attributes == {"country": "DE", "age": 21}
    assert found.features["orderCount"] == 3
    assert found.features["grossSpent"] == 11 + 31 + 51


def test_new_orders_move_customers_between_segments(shop: Service) -> None:
    create(
        shop,
        "hats",
        [
            {
                "event": "order",
                "where": [{"attribute": "sku", "operator": "eq", "value": "panama"}],
                "operator": "gte",
                "value": 1,
            }
        ],
    )
    assert ids(shop, "hats") == set()
    shop.drop(
        "imports/orders/new.csv",
        "orderId,customerId,orderedAt,amount,sku\nn1,c4,2026-02-20,9,panama\nn2,new,2026-02-21,9,panama\n",
    )
    shop.settle()
    assert ids(shop, "hats") == {"c4", "new"}
    assert segments.get(shop.store, "hats", shop.now).customerCount == 2


def test_the_same_file_dropped_twice_changes_nothing(shop: Service) -> None:
    create(shop, "buyers", BUYERS)
    before = state(shop)
    shop.drop("imports/orders/o.csv", ORDERS)
    shop.drop("imports/orders/copy-of-o.csv", ORDERS)
    shop.drop("imports/customers/c.csv", CUSTOMERS)
    shop.settle()
    assert job(shop, "imports/orders/o.csv").status == "succeeded"
    assert state(shop) == before


def test_an_event_that_is_delivered_twice_is_served_once(shop: Service) -> None:
    before = state(shop)
    assert shop.import_file(shop.event("imports/orders/o.csv")) == {"status": "skipped"}
    assert state(shop) == before


def test_a_worker_that_dies_after_its_merge_is_repeated_without_loss(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.drop("imports/customers/c.csv", CUSTOMERS)
    service.settle()
    create(service, "buyers", BUYERS)
    service.drop("imports/orders/o.csv", ORDERS)
    event = service.event(service.dropped.pop())
    planned = import_jobs.plan(service.store, {"event": event, "execution": "first"}, service.now)
    for item in planned["chunks"]:
        service.import_chunk(item)
        service.import_chunk(item)
    with monkeypatch.context() as patch:
        patch.setattr(Evaluation, "write", lambda *_: (_ for _ in ()).throw(TooBusy("killed")))
        for item in planned["partitions"]:
            with pytest.raises(TooBusy):
                service.evaluate_partition(item)
    for item in [*planned["partitions"], *planned["partitions"]]:
        service.evaluate_partition(item)
    import_jobs.finish(service.store, {**event, "plan": planned}, service.now)
    service.record()
    assert ids(service, "buyers") == {f"c{n}" for n in range(1, 20, 2)}
    assert segments.get(service.store, "buyers", service.now).customerCount == 10
    assert job(service, "imports/orders/o.csv").counts["accepted"] == 60


def test_two_imports_at_once_lose_nothing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    service.drop("imports/customers/a.csv", "customerId,country\n" + "".join(f"a{n},DE\n" for n in range(30)))
    service.drop("imports/customers/b.csv", "customerId,age\n" + "".join(f"b{n},33\na{n},44\n" for n in range(30)))
    planned = []
    for number, key in enumerate(service.dropped):
        event = service.event(key)
        planned.append(import_jobs.plan(service.store, {"event": event, "execution": f"e{number}"}, service.now))
        for item in planned[-1]["chunks"]:
            service.import_chunk(item)
    service.dropped.clear()
    moved = pointers.move
    waiting = {item["partition"]: item for item in planned[1]["partitions"]}

    def interrupted(*arguments: Any) -> bool:
        # Just before the first import moves a pointer, the second one comes through for the same partition.
        item = waiting.pop(arguments[1].partition, None)
        if item:
            service.evaluate_partition(item)
        return moved(*arguments)

    monkeypatch.setattr(pointers, "move", interrupted)
    for item in planned[0]["partitions"]:
        service.evaluate_partition(item)
    assert not waiting
    assert customers.get(service.store, "a7", service.now).attributes == {"country": "DE", "age": 44}
    assert customers.get(service.store, "b7", service.now).attributes == {"age": 33}
    current = pointers.get(service.store.table, range(3), 3).values()
    assert sum(pointer.customers for pointer in current) == 60


def test_an_import_that_failed_says_where_and_goes_through_on_redrive(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.drop("imports/customers/c.csv", CUSTOMERS)
    service.settle()
    service.drop("imports/orders/o.csv", ORDERS)
    event = service.event(service.dropped.pop())
    with monkeypatch.context() as patch:
        patch.setattr(
            partition_runs, "_merge", lambda *_: (_ for _ in ()).throw(TooBusy("the table is being throttled"))
        )
        assert service.import_file(event, "first")["status"] == "failed"
    failed = job(service, "imports/orders/o.csv")
    assert failed.status == "failed"
    assert "partition 0, 1, 2" in (failed.error or "")
    assert "throttled" in (failed.error or "")
    assert service.import_file(event, "first")["status"] == "succeeded"
    assert job(service, "imports/orders/o.csv").error is None
    assert customers.get(service.store, "c1", service.now).features["orderCount"] == 3


def test_a_profile_written_during_an_import_wins_over_the_older_file(service: Service) -> None:
    service.drop("imports/customers/c.csv", "customerId,country\nx,US\n")
    event = service.event(service.dropped.pop())
    planned = import_jobs.plan(service.store, {"event": event, "execution": "e"}, service.now)
    for item in planned["chunks"]:
        service.import_chunk(item)
    service.wait(0.1)
    customers.put(service.store, "x", PutCustomer(attributes={"country": "DE"}), service.now)
    for item in planned["partitions"]:
        service.evaluate_partition(item)
    assert customers.get(service.store, "x", service.now).attributes == {"country": "DE"}
    assert service.store.table.get(keys.profile("x")) is None


@pytest.mark.parametrize(
    ("key", "body", "words"),
    [
        ("imports/orders/empty.csv", b"", "empty"),
        ("imports/orders/garbage.csv", bytes(range(256)) * 40, ""),
        ("imports/orders/cut.csv.gz", gzip.compress(ORDERS.encode() * 50)[:-200], "gzip"),
        ("imports/orders/no-date.csv", b"orderId,customerId,amount\n1,c1,5\n", "orderedAt"),
        ("imports/invoices/x.csv", b"a,b\n1,2\n", "invoices"),
        (
            "imports/orders/long.csv",
            b'orderId,customerId,orderedAt,amount\n1,c1,2026-01-01,"' + b"x" * (50 * 2**20) + b'"\n',
            "row",
        ),
    ],
)
def test_a_file_that_cannot_be_read_fails_its_job_with_the_reason(
    service: Service, key: str, body: bytes, words: str
) -> None:
    service.drop(key, body)
    service.settle()
    failed = job(service, key)
    assert failed.status == "failed"
    assert words in (failed.error or "").lower() or words in (failed.error or "")
    assert failed.error


def test_a_file_with_a_header_only_succeeds_with_no_rows(service: Service) -> None:
    service.drop("imports/orders/none.csv", "orderId,customerId,orderedAt,amount\n")
    service.settle()
    done = job(service, "imports/orders/none.csv")
    assert (done.status, done.counts.get("rows", 0)) == ("succeeded", 0)


def test_a_file_that_was_deleted_before_it_was_read_fails_its_job(service: Service) -> None:
    service.drop("imports/orders/gone.csv", ORDERS)
    event = service.event(service.dropped.pop())
    service.s3.delete_object(Bucket="segmentation", Key="imports/orders/gone.csv")
    assert service.import_file(event)["status"] == "failed"
    failed = job_reads.get(service.store, import_jobs.job_id_of(event["detail"]["object"]))
    assert "gone.csv" in (failed.error or "")


def test_bad_rows_are_rejected_with_number_field_value_and_reason_and_good_rows_go_in(service: Service) -> None:
    rows = [
        "1,c1,2026-02-01,5",
        "2,,2026-02-01,5",
        "3,c1,2026-02-30,5",
        "4,c1,1900-01-01,5",
        "5,c1,2999-01-01,5",
        "6,c1,2026-02-01,NaN",
        "7,c1,2026-02-01,inf",
        "8," + "x" * 2048 + ",2026-02-01,5",
        "9,c1,2026-02-01",
        "10,c1,2026-02-01,=1+1",
        "11,c2,2026-02-01,6",
    ]
    service.drop("imports/orders/o.csv", "orderId,customerId,orderedAt,amount\n" + "\n".join(rows) + "\n")
    service.settle()
    done = job(service, "imports/orders/o.csv")
    assert (done.status, done.counts["accepted"], done.counts["rejected"]) == ("succeeded", 2, 9)
    body = service.store.files.get(keys.rejects(done.jobId)).decode()
    for number in range(2, 11):
        assert any(line.startswith(f"{number},") for line in body.splitlines()), number
    assert "'=1+1" in body
    assert customers.get(service.store, "c2", service.now).features["grossSpent"] == 6


def test_a_file_of_members_fills_a_manual_segment_and_rejects_unknown_segments(shop: Service) -> None:
    request = CreateSegment(segmentName="Friends", segmentId="friends", kind="manual")
    authoring.create(shop.store, request, shop.now)
    shop.settle()
    shop.drop("imports/members/m.csv", "segmentId,customerId\nfriends,c1\nfriends,c2\nnowhere,c3\nfriends,stranger\n")
    shop.settle()
    done = job(shop, "imports/members/m.csv")
    assert (done.status, done.counts["accepted"], done.counts["rejected"]) == ("succeeded", 3, 1)
    assert b'3,"segmentId","nowhere","is no segment"' in shop.store.files.get(keys.rejects(done.jobId))
    assert ids(shop, "friends") == {"c1", "c2"}
    assert segments.get(shop.store, "friends", shop.now).customerCount == 2
    # What the file decided about somebody whom nobody knew counts from the day that the customer is known.
    customers.put(shop.store, "stranger", PutCustomer(attributes={}), shop.now)
    assert ids(shop, "friends") == {"c1", "c2", "stranger"}
    listed = members.list_members(shop.store, "friends", "members", 10, None, shop.now)
    assert {member.source for member in listed.items} == {"import"}


def test_an_announced_upload_starts_its_own_job(service: Service) -> None:
    from segmentation import uploads
    from segmentation.models.imports import CreateImport

    announced = uploads.create(service.store, CreateImport(dataset="customers", fileName="my file.csv"), service.now)
    assert announced.status == "awaiting_upload"
    service.drop(announced.details["key"], CUSTOMERS)
    service.settle()
    assert job_reads.get(service.store, announced.jobId).status == "succeeded"
    with pytest.raises(NotFound):
        jobs.get(service.store.table, "import-unknown")


def test_an_erased_customer_stays_erased_while_an_older_import_is_still_running(service: Service) -> None:
    service.drop("imports/customers/c.csv", CUSTOMERS)
    service.settle()
    service.drop("imports/orders/o.csv", ORDERS)
    event = service.event(service.dropped.pop())
    planned = import_jobs.plan(service.store, {"event": event, "execution": "e"}, service.now)
    for item in planned["chunks"]:
        service.import_chunk(item)
    service.wait(0.1)
    customers.erase(service.store, "c1", service.now)
    for item in planned["partitions"]:
        service.evaluate_partition(item)
    with pytest.raises(NotFound):
        customers.get(service.store, "c1", service.now)


def test_a_rival_that_writes_a_version_meanwhile_does_not_lose_it(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.drop("imports/customers/a.csv", "customerId,age\nk0,1\n")
    service.settle()
    customers.put(service.store, "k0", PutCustomer(attributes={"age": 5}), service.now)
    partition = keys.partition_of("k0", service.store.partitions)
    rival = snapshot_key = None
    cleared = partition_runs._clear_before

    def late(*arguments: Any) -> None:
        # Just before the old versions are cleared, another worker has written the next one and is about to point to it.
        nonlocal rival, snapshot_key
        current = pointers.get(service.store.table, [partition], service.store.partitions)[partition]
        rival = f"{int(current.version.split('-')[0]) + 1:08d}-rival"
        snapshot_key = keys.snapshot_file(partition, rival, "customers")
        service.store.files.put(snapshot_key, b"new")
        cleared(*arguments)

    monkeypatch.setattr(partition_runs, "_clear_before", late)
    runs.begin(service.store, service.now)
    service.settle()
    assert rival
    assert service.store.files.get(snapshot_key) == b"new"


def test_the_link_to_the_rejects_survives_a_repeated_last_step(service: Service) -> None:
    service.drop("imports/customers/a.csv", "customerId,age\nc1,5\n,6\n")
    event = service.event(service.dropped.pop())
    planned = import_jobs.plan(service.store, {"event": event, "execution": "e"}, service.now)
    for item in planned["chunks"]:
        service.import_chunk(item)
    for item in planned["partitions"]:
        service.evaluate_partition(item)
    for _ in range(2):
        import_jobs.finish(service.store, {**event, "plan": planned}, service.now)
    assert "rejects" in job_reads.get(service.store, planned["jobId"]).links


def test_a_folder_that_a_console_made_is_no_file(service: Service) -> None:
    service.drop("imports/orders/", b"")
    assert service.deliver(service.dropped.pop()) == {"status": "skipped"}


def test_a_corrected_file_under_the_same_form_is_imported(service: Service) -> None:
    from segmentation import uploads
    from segmentation.models.imports import CreateImport

    announced = uploads.create(service.store, CreateImport(dataset="customers", fileName="c.csv"), service.now)
    service.drop(announced.details["key"], "customerId,age\n")
    service.settle()
    service.drop(announced.details["key"], CUSTOMERS)
    service.settle()
    assert job_reads.get(service.store, announced.jobId).counts["accepted"] == 20
    assert customers.get(service.store, "c1", service.now).attributes["age"] == 21
