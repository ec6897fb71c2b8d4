"""A customer's history: entries and exits, written by what follows the table's stream."""

from segmentation.store import keys
from segmentation.store.table import Table


def forget(table: Table, customer_id: str) -> None:
    """Remove the history of a person."""
    pk = keys.history_prefix(customer_id)
    table.batch_write(deletes=[{"PK": i["PK"], "SK": i["SK"]} for i in table.query(pk, "HISTORY#")])
