"""GraphQL on the gateway: the part of Arweave's schema that AO's clients ask for."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Final

from graphql import GraphQLError, build_schema, graphql_sync
from graphql.type import GraphQLResolveInfo

from benchpool.message import encode_id
from benchpool.server.transactions import Transaction, Transactions

DEFAULT_FIRST: Final = 10
MOST_FIRST: Final = 1_000

SCHEMA = build_schema(
    """
    enum SortOrder { HEIGHT_ASC HEIGHT_DESC INGESTED_AT_ASC INGESTED_AT_DESC }
    enum TagOperator { EQ NEQ }
    input TagFilter { name: String! values: [String!]! op: TagOperator }
    input BlockFilter { min: Int max: Int }
    type Owner { address: String! key: String! }
    type Tag { name: String! value: String! }
    type Block { id: ID! timestamp: Int! height: Int! previous: ID! }
    type MetaData { size: String! type: String }
    type Amount { winston: String! ar: String! }
    type Parent { id: ID! }
    type Transaction {
        id: ID! anchor: String! signature: String! recipient: String! owner: Owner!
        fee: Amount! quantity: Amount! data: MetaData! tags: [Tag!]! block: Block
        parent: Parent bundledIn: Parent
    }
    type PageInfo { hasNextPage: Boolean! }
    type TransactionEdge { cursor: String! node: Transaction! }
    type TransactionConnection { pageInfo: PageInfo! edges: [TransactionEdge!]! count: String }
    type Query {
        transaction(id: ID!): Transaction
        transactions(
            ids: [ID!] owners: [String!] recipients: [String!] tags: [TagFilter!]
            bundledIn: [ID!] block: BlockFilter first: Int after: String sort: SortOrder
        ): TransactionConnection!
    }
    """
)


def execute(transactions: Transactions, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a query: `{"data": ...}`, and `errors` if something is wrong with it."""
    result = graphql_sync(
        SCHEMA, query, root_value=_Query(transactions), variable_values=dict(variables)
    )
    shown: dict[str, Any] = {"data": result.data}
    if result.errors:
        shown["errors"] = [error.formatted for error in result.errors]
    return shown


class _Query:
    """The resolvers of the root; graphql-core calls methods with the arguments of the query."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def transaction(self, _info: GraphQLResolveInfo[Any], id: str) -> dict[str, Any] | None:  # noqa: A002 - Arweave's name
        found = self._transactions.find(id)
        return None if found is None else _node(found)

    def transactions(self, _info: GraphQLResolveInfo[Any], **wanted: Any) -> dict[str, Any]:
        found = list(self._select(wanted))
        descending = not str(wanted.get("sort") or "HEIGHT_DESC").endswith("ASC")
        if descending:
            found.reverse()
        start = _offset(wanted.get("after"))
        first = max(0, min(wanted.get("first", DEFAULT_FIRST) or 0, MOST_FIRST))
        page = found[start : start + first]
        return {
            "pageInfo": {"hasNextPage": start + first < len(found)},
            "count": str(len(found)),
            "edges": [
                {"cursor": _cursor(start + number), "node": _node(each)}
                for number, each in enumerate(page, start=1)
            ],
        }

    def _select(self, wanted: Mapping[str, Any]) -> list[Transaction]:
        filters = wanted.get("tags") or []
        tags = [(each["name"], frozenset(each["values"])) for each in filters]
        required = [pair for pair, each in zip(tags, filters, strict=True) if _equal(each)]
        barred = [pair for pair, each in zip(tags, filters, strict=True) if not _equal(each)]
        owners, ids = wanted.get("owners") or [], wanted.get("ids")
        recipients = wanted.get("recipients") or []
        block = wanted.get("block") or {}
        if ids is not None:
            given = [self._transactions.find(each) for each in dict.fromkeys(ids)]
            candidates = sorted((t for t in given if t is not None), key=lambda t: t.height)
        else:
            candidates = list(self._transactions.all(required, owners))
        return [
            each
            for each in candidates
            if (not owners or each.owner in owners)
            and (not recipients or each.recipient in recipients)
            and each.matches(required)
            and not any(each.matches([pair]) for pair in barred)
            and block.get("min", 0) <= each.height <= block.get("max", each.height)
        ]


def _equal(tag_filter: Mapping[str, Any]) -> bool:
    return tag_filter.get("op") in (None, "EQ")


def _node(transaction: Transaction) -> dict[str, Any]:
    nothing = {"winston": "0", "ar": "0.000000000000"}
    height = transaction.height
    return {
        "id": transaction.id,
        "anchor": transaction.anchor,
        "signature": transaction.signature,
        "recipient": transaction.recipient,
        "owner": {"address": transaction.owner, "key": transaction.owner_key},
        "fee": nothing,
        "quantity": nothing,
        "data": {"size": str(transaction.data_size), "type": _type(transaction)},
        "tags": [{"name": name, "value": value} for name, value in transaction.tags],
        "block": {
            "id": _block_id(height),
            "timestamp": transaction.timestamp,
            "height": height,
            "previous": _block_id(height - 1),
        },
        "parent": None,
        "bundledIn": None,
    }


def _type(transaction: Transaction) -> str | None:
    return next((value for name, value in transaction.tags if name == "Content-Type"), None)


def _block_id(height: int) -> str:
    return encode_id(max(height, 0).to_bytes(32, "big"))


def _cursor(offset: int) -> str:
    return base64.urlsafe_b64encode(f"benchpool {offset}".encode()).decode()


def _offset(after: str | None) -> int:
    if not after:
        return 0
    try:
        offset = int(base64.urlsafe_b64decode(after).decode().removeprefix("benchpool "))
    except ValueError:
        raise GraphQLError("'after' is no cursor") from None
    return max(0, offset)
