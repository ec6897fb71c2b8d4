"""Models in the table, and their fitted versions in the bucket.

A fitted version never changes. Which version scores customers is said by an item of the catalogue, one per set of
scores, so that whoever reads the catalogue knows the scores' names at no further cost.
"""

import gzip
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from segmentation.engine.catalogue import scores_of
from segmentation.errors import Conflict, NotFound
from segmentation.models.common import iso
from segmentation.models.drift import Drift
from segmentation.models.models import ModelSummary, Version, VersionStatus
from segmentation.store import cursor, keys, scorers
from segmentation.store.files import Files
from segmentation.store.scorers import Scorer
from segmentation.store.table import ABSENT, PRESENT, Condition, ConditionFailed, Item, Table

_DRIFT = "drift"

_JSON_FIELDS = ("features", "parameters", "population")
"""Kept as text: numbers of data may lie outside what the table's own numbers can hold."""


def create(table: Table, model: ModelSummary, version: Version) -> None:
    """Store a new model and its first version. Raises Conflict if the id is taken."""
    item = {
        **keys.model(model.modelId),
        **keys.model_index(model.modelId, model.kind),
        **_texts(model.model_dump(mode="json", exclude={"scores", "status", "statusReason"})),
        "state": model.status,
    }
    try:
        table.transact([table.put_action(item, ABSENT), table.put_action(_version_item(model.modelId, version))])
    except ConditionFailed:
        raise Conflict(f"the modelId {model.modelId!r} is taken; choose another") from None


def get(table: Table, model_id: str) -> tuple[ModelSummary, list[Version]]:
    """A model and all its versions, oldest first, in one query. Raises NotFound."""
    found = list(table.query(keys.model(model_id)["PK"]))
    meta = next((item for item in found if item["SK"] == "META"), None)
    if meta is None:
        raise NotFound(f"there is no model {model_id!r}")
    versions = [_version(item) for item in found if item["SK"].startswith(keys.MODEL_VERSION_PREFIX)]
    return _summary(meta), versions


def exists(table: Table, model_id: str) -> bool:
    """Whether there is a model of this id."""
    return table.get(keys.model(model_id), consistent=True) is not None


def page(table: Table, kind: str | None, limit: int, token: str | None) -> tuple[list[ModelSummary], str | None]:
    """Models in order of kind and id, of one kind if given."""
    scope = f"{keys.MODELS}#{kind}"
    prefix = f"{kind}#" if kind else ""
    found = table.page(keys.MODELS, prefix, index=keys.GSI1, limit=limit, start=cursor.decode(scope, token))
    return [_summary(item) for item in found.items], cursor.encode(scope, found.last_key)


def everything(table: Table) -> list[ModelSummary]:
    """Every model."""
    return [_summary(item) for item in table.query(keys.MODELS, index=keys.GSI1)]


def add_version(table: Table, model_id: str, version: Version) -> bool:
    """Begin the next version; False if another was begun meanwhile, or the model is gone."""
    condition = Condition("#latest = :seen", {":seen": version.version - 1}, {"#latest": "latestVersion"})
    changes = {"latestVersion": version.version, "state": version.status, "jobId": version.jobId, "stateReason": None}
    current = table.update_action(keys.model(model_id), set=changes, condition=condition)
    try:
        table.transact([current, table.put_action(_version_item(model_id, version))])
    except ConditionFailed:
        return False
    return True


def put_version(table: Table, model_id: str, version: Version) -> bool:
    """Record how a fit ended; False if the model was deleted meanwhile, whether or not another has its id now."""
    try:
        table.put(_version_item(model_id, version), Condition("jobId = :job", {":job": version.jobId}))
    except ConditionFailed:
        return False
    condition = Condition("#latest = :version", {":version": version.version}, {"#latest": "latestVersion"})
    changes = {"state": version.status, "stateReason": version.statusReason}
    try:
        table.update(keys.model(model_id), set=changes, condition=condition)
    except ConditionFailed:
        return exists(table, model_id)
    return True


def end_version(
    table: Table, model_id: str, version: Version, status: VersionStatus, reason: str, at: datetime
) -> Version:
    """Record that a fit ended without a model, and why."""
    ended = version.model_copy(update={"status": status, "statusReason": reason[:2000], "fittedAt": at})
    put_version(table, model_id, ended)
    return ended


def publish(table: Table, model: ModelSummary, scorer: Scorer, at: datetime) -> None:
    """Let this version score customers from now on, held or not as `model.held` says. No refit of it is suggested yet.

    Raises Conflict if the scores belong to another model, NotFound if the model was deleted meanwhile.
    """
    changes = {
        "publishedVersion": scorer.version,
        "publishedAt": iso(at),
        "held": model.held and model.held.model_dump(mode="json"),
        "refitSuggested": False,
    }
    try:
        table.transact(
            [
                table.update_action(keys.model(model.modelId), set=changes, condition=PRESENT),
                scorers.put_action(table, scorer),
            ]
        )
    except ConditionFailed:
        check_scores_are_free(table, scorer)
        raise NotFound(f"there is no model {model.modelId!r}") from None


def check_scores_are_free(table: Table, scorer: Scorer) -> None:
    """Raises Conflict if the scores belong to another model."""
    owner = scorers.owner(table, scorer.slot)
    if owner not in (None, scorer.model_id):
        raise Conflict(f"the scores {', '.join(scorer.scores)} come from the model {owner!r}; delete that one first")


def put_drift(table: Table, model_id: str, drift: Drift) -> bool:
    """Keep a measurement as its day's, and whether it suggests a refit; False if another version was published
    meanwhile.
    """
    text = drift.model_dump_json(exclude_none=True)
    published = Condition("publishedVersion = :version", {":version": drift.version})
    changes = {"refitSuggested": drift.refitSuggested}
    day = {**keys.model_drift(model_id, iso(drift.measuredAt)[:10]), _DRIFT: text}
    try:
        table.transact(
            [
                table.update_action(keys.model(model_id), set=changes, condition=published),
                table.put_action(day),
            ]
        )
    except ConditionFailed:
        return False
    return True


def drifts(table: Table, model_id: str, days: int) -> list[Drift]:
    """The measurements of the last so many days that have one, the latest first."""
    page = table.page(keys.model_drift(model_id, "")["PK"], limit=days, backwards=True)
    return [Drift.model_validate_json(item[_DRIFT]) for item in page.items]


def remove(table: Table, model: ModelSummary, versions: list[Version]) -> None:
    """Delete a model with all its versions and measurements, and with its scores if it has any published."""
    if model.publishedVersion is not None:
        scorers.withdraw(table, scorers.slot_of(model.kind, model.modelId), model.modelId)
        table.batch_write(deletes=[keys.feature(name) for name in model.scores])
    measured = table.query(keys.model_drift(model.modelId, "")["PK"])
    doomed = [keys.model_version(model.modelId, version.version) for version in versions]
    doomed += [{"PK": item["PK"], "SK": item["SK"]} for item in measured]
    table.batch_write(deletes=[*doomed, keys.model(model.modelId)])


def put_file(files: Files, model_id: str, version: int, document: Mapping[str, Any]) -> None:
    """Keep a fitted version."""
    body = gzip.compress(json.dumps(document, allow_nan=False, separators=(",", ":")).encode(), mtime=0)
    files.put(keys.model_file(model_id, version), body, content_type="application/gzip")


def read_file(files: Files, model_id: str, version: int) -> dict[str, Any]:
    """A fitted version. Raises NotFound."""
    document: dict[str, Any] = json.loads(gzip.decompress(files.get(keys.model_file(model_id, version))))
    return document


def _version_item(model_id: str, version: Version) -> Item:
    item = version.model_dump(mode="json", exclude_none=True, exclude={"groups", "comparison", "status"})
    item["groups"] = json.dumps([group.model_dump(mode="json") for group in version.groups], separators=(",", ":"))
    item["comparison"] = version.comparison and version.comparison.model_dump_json()
    return {**keys.model_version(model_id, version.version), **item, "state": version.status}


def _version(item: Item) -> Version:
    fields = {name: item[name] for name in Version.model_fields if name in item and name != "status"}
    fields["groups"] = json.loads(item["groups"])
    if "comparison" in item:
        fields["comparison"] = json.loads(item["comparison"])
    return Version.model_validate({**fields, "status": item["state"]})


def _summary(item: Item) -> ModelSummary:
    fields = {name: item[name] for name in ModelSummary.model_fields if name in item}
    parsed = {name: json.loads(item[name]) for name in _JSON_FIELDS}
    computed = {
        "status": item["state"],
        "statusReason": item.get("stateReason"),
        "scores": list(scores_of(item["kind"], item["modelId"])),
    }
    return ModelSummary.model_validate({**fields, **parsed, **computed})


def _texts(fields: Mapping[str, Any]) -> Item:
    return {
        name: json.dumps(value, separators=(",", ":"), ensure_ascii=False) if name in _JSON_FIELDS else value
        for name, value in fields.items()
    }
