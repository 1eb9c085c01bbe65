"""GraphQL on the gateway: the part of Arweave's schema that AO's clients ask for."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from graphql import GraphQLError, build_schema, graphql_sync
from graphql.type import GraphQLResolveInfo

from benchpool.ao.ids import encode_id
from benchpool.ao.shapes import tags_json
from benchpool.server.transactions import Place, Transaction, Transactions, Wanted
from benchpool.store import Store

DEFAULT_FIRST: Final = 10
MOST_FIRST: Final = 1_000
_MOST_SEQUENCE: Final = 1 << 62

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


def execute(
    transactions: Transactions, store: Store, query: str, variables: Mapping[str, Any]
) -> dict[str, Any]:
    """Answer a query: `{"data": ...}`, and `errors` if something is wrong with it."""
    result = graphql_sync(
        SCHEMA, query, root_value=_Query(transactions, store), variable_values=dict(variables)
    )
    shown: dict[str, Any] = {"data": result.data}
    if result.errors:
        shown["errors"] = [error.formatted for error in result.errors]
    return shown


class _Query:
    """The resolvers of the root; graphql-core calls methods with the arguments of the query."""

    def __init__(self, transactions: Transactions, store: Store) -> None:
        self._transactions = transactions
        self._store = store

    def transaction(self, _info: GraphQLResolveInfo[Any], id: str) -> dict[str, Any] | None:  # noqa: A002 - Arweave's name
        found = self._transactions.find(self._store, id)
        return None if found is None else _node(found)

    def transactions(self, _info: GraphQLResolveInfo[Any], **wanted: Any) -> dict[str, Any]:
        first = max(0, min(wanted.get("first", DEFAULT_FIRST) or 0, MOST_FIRST))
        page = list(islice(self._select(wanted, _place(wanted.get("after"))), first + 1))
        return {
            "pageInfo": {"hasNextPage": len(page) > first},
            # Asked for by few, and everything has to be looked through for it.
            "count": lambda _info: str(sum(1 for _ in self._select(wanted, Place()))),
            "edges": [
                {"cursor": _cursor(place), "node": _node(each)} for place, each in page[:first]
            ],
        }

    def _select(
        self, asked: Mapping[str, Any], after: Place
    ) -> Iterator[tuple[Place, Transaction]]:
        filters = asked.get("tags") or []
        pairs = [(each["name"], frozenset(each["values"]), _equal(each)) for each in filters]
        block = asked.get("block") or {}
        wanted = Wanted(
            required=tuple((name, values) for name, values, equal in pairs if equal),
            barred=tuple((name, values) for name, values, equal in pairs if not equal),
            owners=frozenset(asked.get("owners") or ()),
            recipients=frozenset(asked.get("recipients") or ()),
            lowest=block.get("min"),
            highest=block.get("max"),
        )
        descending = not str(asked.get("sort") or "HEIGHT_DESC").endswith("ASC")
        if asked.get("ids") is None:
            yield from self._transactions.select(self._store, wanted, after, descending=descending)
            return
        given = (self._transactions.find(self._store, each) for each in dict.fromkeys(asked["ids"]))
        found = [each for each in given if each is not None and wanted.takes(each)]
        found.sort(key=lambda each: each.timestamp_ms, reverse=descending)
        for number, each in enumerate(found):
            if number > after.known:
                yield Place(known=number), each


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
        "tags": tags_json(transaction.tags),
        "block": {
            "id": _block_id(height),
            "timestamp": transaction.timestamp_ms // 1000,  # Arweave counts seconds
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


def _cursor(place: Place) -> str:
    text = " ".join(map(str, ("benchpool", *place)))
    return base64.urlsafe_b64encode(text.encode()).decode()


def _place(after: str | None) -> Place:
    if not after:
        return Place()
    try:
        _, *numbers = base64.urlsafe_b64decode(after).decode().split()
        return Place(*(min(int(number), _MOST_SEQUENCE) for number in numbers))
    except (ValueError, TypeError):
        raise GraphQLError("'after' is no cursor") from None
