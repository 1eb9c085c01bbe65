"""GraphQL on the gateway: the part of Arweave's schema that AO's clients ask for."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLResolveInfo,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    build_schema,
    default_field_resolver,
    execute_sync,
    parse,
    validate,
)

from benchpool.ao.shapes import tags_json
from benchpool.server.blocks import block_json, height_of, heights
from benchpool.server.lookups import View
from benchpool.server.tag_match import matcher
from benchpool.server.transactions import Moment, Place, Transactions
from benchpool.server.wanted import Fitting, Transaction, Wanted

DEFAULT_FIRST: Final = 10
MOST_FIRST: Final = 1_000
MOST_IDS: Final = 1_000
"""Ids that one query may ask for."""
MOST_FIELDS: Final = 500
"""Fields that a query names, those of a fragment wherever it stands."""
MOST_LISTS: Final = 10
"""Lists, and transactions by id, that one query asks for."""
MOST_TOKENS: Final = 4_000
PAGE_BYTES: Final = 4 << 20
"""Tags of one page; a page that comes to so much ends, and another follows it."""
ANSWER_BYTES: Final = 32 << 20
"""Tags of one answer."""
_MOST_SEQUENCE: Final = 1 << 62

SCHEMA = build_schema(
    """
    enum SortOrder { HEIGHT_ASC HEIGHT_DESC INGESTED_AT_ASC INGESTED_AT_DESC }
    enum TagOperator { EQ NEQ }
    enum TagMatch { EXACT WILDCARD FUZZY_AND FUZZY_OR }
    input TagFilter { name: String! values: [String!]! op: TagOperator match: TagMatch }
    input BlockFilter { min: Int max: Int }
    input RangeFilter { min: Int max: Int }
    type Owner { address: String! key: String! }
    type Tag { name: String! value: String! }
    type Block { id: ID! timestamp: Int! height: Int! previous: ID! }
    type MetaData { size: String! type: String }
    type Amount { winston: String! ar: String! }
    type Parent { id: ID! }
    type Transaction {
        id: ID! anchor: String! signature: String! recipient: String! owner: Owner!
        fee: Amount! quantity: Amount! data: MetaData! tags: [Tag!]! block: Block
        parent: Parent bundledIn: Parent ingested_at: Int!
    }
    type PageInfo { hasNextPage: Boolean! }
    type TransactionEdge { cursor: String! node: Transaction! }
    type TransactionConnection { pageInfo: PageInfo! edges: [TransactionEdge!]! count: String }
    type BlockEdge { cursor: String! node: Block! }
    type BlockConnection { pageInfo: PageInfo! edges: [BlockEdge!]! count: String }
    type Query {
        transaction(id: ID!): Transaction
        transactions(
            ids: [ID!] owners: [String!] recipients: [String!] tags: [TagFilter!]
            bundledIn: [ID!] block: BlockFilter ingested_at: RangeFilter
            first: Int after: String sort: SortOrder
        ): TransactionConnection!
        block(id: String): Block
        blocks(
            ids: [ID!] height: BlockFilter first: Int after: String sort: SortOrder
        ): BlockConnection!
    }
    """
)


def execute(
    transactions: Transactions,
    view: View,
    query: str,
    variables: Mapping[str, Any],
    newest: int = 0,
) -> dict[str, Any]:
    """Answer a query: `{"data": ...}`, and `errors` if something is wrong with it.

    Args:
        transactions: everything there is.
        view: the moment that is looked at.
        query: a document with one operation.
        variables: its variables.
        newest: the height of the newest block, for a query that asks for blocks.

    Raises: LookupEnded if it takes too long.
    """
    try:
        document = parse(query, max_tokens=MOST_TOKENS)
        _check_cost(document)
        errors = validate(SCHEMA, document)
        if errors:
            return {"data": None, "errors": [error.formatted for error in errors]}
    except GraphQLError as error:
        return {"data": None, "errors": [error.formatted]}
    except RecursionError:
        return {"data": None, "errors": [{"message": "the query is nested too deeply"}]}

    def resolve(source: Any, info: GraphQLResolveInfo[Any], **given: Any) -> Any:
        view.check()
        return default_field_resolver(source, info, **given)

    result = execute_sync(
        SCHEMA,
        document,
        root_value=_Query(transactions.at(view), newest),
        variable_values=dict(variables),
        field_resolver=resolve,
    )
    view.check()  # what ended it stands among the errors otherwise
    shown: dict[str, Any] = {"data": result.data}
    if result.errors:
        shown["errors"] = [error.formatted for error in result.errors]
    return shown


def _check_cost(document: DocumentNode) -> None:
    """Accept a query that asks for little. Raises: GraphQLError.

    Validation compares each field with each other, so this comes before it.
    """
    parts = {
        each.name.value: each
        for each in document.definitions
        if isinstance(each, FragmentDefinitionNode)
    }
    costs: dict[str, int] = {}

    def count(selected: SelectionSetNode | None) -> int:
        fields = 0
        for each in () if selected is None else selected.selections:
            if isinstance(each, FragmentSpreadNode):
                fields += of_fragment(each.name.value)
            elif isinstance(each, FieldNode | InlineFragmentNode):
                fields += 1 + count(each.selection_set)
        return fields

    def of_fragment(name: str) -> int:
        if name not in costs:
            costs[name] = 0  # one that holds itself is refused by the validation
            costs[name] = count(parts[name].selection_set) if name in parts else 0
        return costs[name]

    operations = [
        each for each in document.definitions if isinstance(each, OperationDefinitionNode)
    ]
    fields = sum(count(each.selection_set) for each in operations) + sum(map(of_fragment, parts))
    if fields > MOST_FIELDS:
        raise GraphQLError(
            f"the query asks for {fields:,} fields; at most {MOST_FIELDS} are allowed"
        )


class _Query:
    """The resolvers of the root; graphql-core calls methods with the arguments of the query."""

    def __init__(self, moment: Moment, newest: int) -> None:
        self._moment = moment
        self._newest = newest
        self._asked = 0
        self._ids = 0
        self._bytes = 0

    def transaction(self, _info: GraphQLResolveInfo[Any], id: str) -> dict[str, Any] | None:  # noqa: A002 - Arweave's name
        self._count()
        found = self._find([id])
        return self._node(found[0]) if found else None

    def transactions(self, _info: GraphQLResolveInfo[Any], **wanted: Any) -> dict[str, Any]:
        self._count()
        first = max(0, min(wanted.get("first", DEFAULT_FIRST) or 0, MOST_FIRST))
        page: list[tuple[Place, Transaction]] = []
        size, more = 0, False
        for place, each in self._select(wanted, _place(wanted.get("after"))):
            if len(page) >= first or size > PAGE_BYTES:
                more = True
                break
            page.append((place, each))
            size += _size(each)
        return {
            "pageInfo": {"hasNextPage": more},
            # Asked for by few, and everything has to be looked through for it.
            "count": lambda _info: str(sum(1 for _ in self._select(wanted, Place()))),
            "edges": [{"cursor": _cursor(place), "node": self._node(each)} for place, each in page],
        }

    def block(
        self,
        _info: GraphQLResolveInfo[Any],
        id: str | None = None,  # noqa: A002 - Arweave's name
    ) -> dict[str, Any] | None:
        self._count()
        height = self._newest if id is None else height_of(id, self._newest)
        return None if height is None else block_json(height)

    def blocks(self, _info: GraphQLResolveInfo[Any], **wanted: Any) -> dict[str, Any]:
        self._count()
        first = max(0, min(wanted.get("first", DEFAULT_FIRST) or 0, MOST_FIRST))
        after = _place(wanted.get("after")).known
        bounds = wanted.get("height") or {}
        descending = _descending(wanted)
        low, high = bounds.get("min"), bounds.get("max")
        if after >= 0 and descending:
            high = min(after - 1, self._newest if high is None else high)
        elif after >= 0:
            low = max(after + 1, low or 0)
        found = heights(low, high, self._newest, descending=descending)
        count = max((self._newest if high is None else min(high, self._newest)) + 1 - (low or 0), 0)
        if wanted.get("ids") is not None:
            asked = {height_of(each, self._newest) for each in wanted["ids"][:MOST_IDS]}
            known = sorted((each for each in asked if each is not None), reverse=descending)
            in_bounds = range(max(low or 0, 0), self._newest + 1 if high is None else high + 1)
            known = [each for each in known if each in in_bounds]
            found, count = iter(known), len(known)
        page = list(islice(found, first + 1))
        return {
            "pageInfo": {"hasNextPage": len(page) > first},
            "count": str(count),
            "edges": [
                {"cursor": _cursor(Place(known=height)), "node": block_json(height)}
                for height in page[:first]
            ],
        }

    def _count(self) -> None:
        self._asked += 1
        if self._asked > MOST_LISTS:
            raise GraphQLError(f"a query may ask for {MOST_LISTS} lists at most")

    def _find(self, ids: list[str]) -> list[Transaction]:
        self._ids += len(ids)
        if self._ids > MOST_IDS:
            raise GraphQLError(f"a query may ask for {MOST_IDS:,} ids at most")
        found = map(self._moment.find, dict.fromkeys(ids))
        return [each for each in found if each is not None]

    def _node(self, transaction: Transaction) -> dict[str, Any]:
        def tags(_info: GraphQLResolveInfo[Any]) -> list[dict[str, str]]:
            self._bytes += _size(transaction)
            if self._bytes > ANSWER_BYTES:
                raise GraphQLError("the answer is too large; ask for fewer at a time")
            return tags_json(transaction.tags)

        return {**_node(transaction), "tags": tags}

    def _select(
        self, asked: Mapping[str, Any], after: Place
    ) -> Iterator[tuple[Place, Transaction]]:
        filters = asked.get("tags") or []
        exact = [each for each in filters if _is_exact(each)]
        pairs = [(each["name"], frozenset(each["values"]), _equal(each)) for each in exact]
        others = [(_fitting(each), _equal(each)) for each in filters if not _is_exact(each)]
        if len(others) > MOST_LISTS:
            raise GraphQLError(f"a query may match {MOST_LISTS} tags otherwise than EXACT")
        block, came = asked.get("block") or {}, asked.get("ingested_at") or {}
        wanted = Wanted(
            required=tuple((name, values) for name, values, equal in pairs if equal),
            barred=tuple((name, values) for name, values, equal in pairs if not equal),
            fitting=tuple(each for each, equal in others if equal),
            unfitting=tuple(each for each, equal in others if not equal),
            earliest_s=came.get("min"),
            latest_s=came.get("max"),
            owners=frozenset(asked.get("owners") or ()),
            recipients=frozenset(asked.get("recipients") or ()),
            lowest=block.get("min"),
            highest=block.get("max"),
        )
        descending = _descending(asked)
        if asked.get("ids") is None:
            yield from self._moment.select(wanted, after, descending=descending)
            return
        found = [each for each in self._find(asked["ids"]) if wanted.takes(each)]
        found.sort(key=lambda each: each.timestamp_ms, reverse=descending)
        for number, each in enumerate(found):
            if number > after.known:
                yield Place(known=number), each


def _equal(tag_filter: Mapping[str, Any]) -> bool:
    return tag_filter.get("op") in (None, "EQ")


def _descending(asked: Mapping[str, Any]) -> bool:
    return not str(asked.get("sort") or "HEIGHT_DESC").endswith("ASC")


def _is_exact(tag_filter: Mapping[str, Any]) -> bool:
    return tag_filter.get("match") in (None, "EXACT")


def _fitting(tag_filter: Mapping[str, Any]) -> Fitting:
    try:
        return Fitting(tag_filter["name"], matcher(tag_filter["match"], tag_filter["values"]))
    except ValueError as error:
        raise GraphQLError(str(error)) from None


def _node(transaction: Transaction) -> dict[str, Any]:
    nothing = {"winston": "0", "ar": "0.000000000000"}
    height = transaction.height
    came_s = transaction.timestamp_ms // 1000  # Arweave counts seconds
    return {
        "id": transaction.id,
        "anchor": transaction.anchor,
        "signature": transaction.signature,
        "recipient": transaction.recipient,
        "owner": {"address": transaction.owner, "key": transaction.owner_key},
        "fee": nothing,
        "quantity": nothing,
        "data": {"size": str(transaction.data_size), "type": _type(transaction)},
        "block": {**block_json(height), "timestamp": came_s},
        "ingested_at": came_s,
        "parent": None,
        "bundledIn": None,
    }


def _size(transaction: Transaction) -> int:
    return sum(len(name) + len(value) for name, value in transaction.tags)


def _type(transaction: Transaction) -> str | None:
    return next((value for name, value in transaction.tags if name == "Content-Type"), None)


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
