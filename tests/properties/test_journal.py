"""Whatever is written to a state, a rollback gives back what was there, order included."""

# ruff: noqa: RUF012 - pydantic copies the defaults of a state

import random

from hypothesis import given
from hypothesis import strategies as st

from benchpool.process.state import Journal, State, bind

KEYS = "abcd"


class Node(State):
    number: int = 0
    names: dict[str, object] = {}
    items: list[object] = []
    child: object = None


def make(rng, depth=0):
    """A random value: a scalar, dict, list or Node."""
    kind = rng.randrange(5 if depth < 3 else 2)
    if kind == 2:
        return {key: make(rng, depth + 1) for key in KEYS if rng.random() < 0.5}
    if kind == 3:
        return [make(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 4:
        return Node(
            number=rng.randrange(9),
            names={key: make(rng, depth + 1) for key in KEYS if rng.random() < 0.4},
            items=[make(rng, depth + 1) for _ in range(rng.randrange(3))],
        )
    return rng.randrange(100) if kind else rng.choice(["x", "y", None])


def containers(value):
    """Every node, dict and list that can be reached, in a fixed order."""
    found = []
    waiting = [value]
    while waiting:
        part = waiting.pop(0)
        if isinstance(part, Node):
            found.append(part)
            waiting += [part.names, part.items, part.child]
        elif isinstance(part, dict):
            found.append(part)
            waiting += part.values()
        elif isinstance(part, list):
            found.append(part)
            waiting += part
    return found


def write_dict(rng, target):
    key = rng.choice(KEYS)
    match rng.randrange(7):
        case 0 | 1:
            target[key] = make(rng)
        case 2:
            target.pop(key, None)
        case 3:
            target.setdefault(key, make(rng))
        case 4:
            target.update({key: make(rng), rng.choice(KEYS): make(rng)})
        case 5 if target:
            target.popitem()
        case 6 if rng.random() < 0.3:
            target.clear()


def write_list(rng, target):
    place = rng.randrange(len(target)) if target else 0
    match rng.randrange(10):
        case 0 | 1:
            target.append(make(rng))
        case 2:
            target.extend([make(rng), make(rng)])
        case 3 if target:
            target.pop(rng.choice([place, -1, place - len(target)]))
        case 4 if target:
            target[place] = make(rng)
        case 5:
            target[place : place + 2] = [make(rng)]
        case 6 if target:
            del target[place]
        case 7:
            target.insert(place, make(rng))
        case 8:
            target.reverse()
        case 9 if rng.random() < 0.3:
            target.clear()


def write(rng, root):
    target = rng.choice(containers(root))
    if isinstance(target, Node):
        match rng.randrange(4):
            case 0:
                target.number = rng.randrange(100)
            case 1:
                target.child = make(rng)
            case 2:
                target.names = {rng.choice(KEYS): make(rng)}
            case 3:
                target.items = [make(rng)]
    elif isinstance(target, dict):
        write_dict(rng, target)
    else:
        write_list(rng, target)


@given(st.integers(0, 2**32), st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=6))
def test_a_rollback_restores_what_the_last_commit_left(seed, messages):
    rng = random.Random(seed)
    journal = Journal()
    root = bind(Node(names={"a": make(rng), "b": make(rng)}, items=[make(rng)]), journal)
    for writes, succeeds in messages:
        before = root.model_dump_json()
        for _ in range(writes):
            write(rng, root)
        if succeeds:
            journal.commit()
        else:
            journal.rollback()
            assert root.model_dump_json() == before
        assert journal.steps == []


@given(st.integers(0, 2**32), st.integers(1, 20))
def test_a_bound_state_takes_the_same_writes_as_a_free_one(seed, writes):
    outcomes = []
    for bound in (True, False):
        rng = random.Random(seed)
        root = Node(names={"a": make(rng)}, items=[make(rng)])
        if bound:
            root = bind(root, Journal())
        for _ in range(writes):
            write(rng, root)
        outcomes.append(root.model_dump_json())
    assert outcomes[0] == outcomes[1]
