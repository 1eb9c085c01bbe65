"""Whatever is sent to the token, no winston appears or disappears."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from benchpool.network import Network
from benchpool.process.registry import Registry
from processes.wrapped_ar import WrappedAR

NAMES = ("alice", "bob", "carol")
quantities = st.one_of(
    st.integers(-2, 60).map(str),
    st.sampled_from(["", "1.5", "+5", "007", "1e9", " 5", "٣", str(10**40), str(10**400)]),
)
orders = st.lists(
    st.tuples(
        st.sampled_from(["Transfer", "Transfer", "Transfer", "Mint", "Burn"]),
        st.sampled_from(NAMES),
        st.sampled_from([*NAMES, "", "a b"]),
        quantities,
        st.booleans(),
    ),
    max_size=25,
)


def memory(network, token):
    fields = json.loads(network.process(token).dump())
    state = fields["state"]
    balances = {account: int(amount) for account, amount in state["balances"].items()}
    return balances, int(state["supply"])


@settings(max_examples=60, deadline=None)
@given(orders)
def test_supply_is_the_sum_of_balances_after_any_messages(sequence):
    registry = Registry()
    registry.add(WrappedAR)
    with Network(seed=1, registry=registry) as network:
        wallets = {name: network.new_wallet(name) for name in NAMES}
        token = network.spawn("WrappedAR", sender="alice")
        burnt = minted = 0
        for action, sender, recipient, quantity, cast in sequence:
            tags = {"Quantity": quantity}
            if recipient:
                known = wallets.get(recipient)
                tags["Recipient"] = known.address if known else recipient
            if cast:
                tags["Cast"] = "true"
            before, dump = memory(network, token), network.process(token).dump()
            sent = network.send(token, action, tags, sender=sender)
            balances, supply = memory(network, token)
            answers = {child.message.action for child in sent.trace.children}
            if sent.error:
                assert network.process(token).dump() == dump
            elif any(answer.endswith("-Error") for answer in answers):
                assert (balances, supply) == before
            minted += int(quantity) if "Mint-Confirmation" in answers else 0
            burnt += int(quantity) if "Burn-Confirmation" in answers else 0
            assert all(amount >= 0 for amount in balances.values())
            assert sum(balances.values()) == supply == minted - burnt
        process = network.process(token)
        dump = process.dump()
        process.load(dump)
        assert process.dump() == dump
