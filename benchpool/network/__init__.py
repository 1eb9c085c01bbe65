"""The public Python API: an AO network in one program.

    from benchpool import Network

    with Network() as network:
        alice = network.new_wallet("alice")
        token = network.spawn("WrappedAR", sender=alice)
        network.send(token, "Mint", {"Quantity": "1000"}, sender=alice)
        print(network.send(token, "Balance", sender=alice).reply().data)

`network.py` is the facade. What it is made of, by the question that each file answers:

    directory.py    who is known here? wallets, and the names of wallets and processes
    unit_keys.py    who signs for the units, and is this a signed network?
    dispatch.py     how does what a wallet of this network says become a message?
    reception.py    may a data item from outside come in?
    logs.py         what do the logs say?
    supplies.py     what models, modules and packages are there to be used?
    timeline.py     what time is it, and which cron ticks are due?
    live_mode.py    how do heavy processes run beside everything else?
    asking.py       what does a process answer to a question?
    sent.py         what came of a message, for its sender?
"""

from benchpool.network.asking import ask
from benchpool.network.directory import DEFAULT_WALLET, Party
from benchpool.network.network import Network
from benchpool.network.sent import Sent

__all__ = ["DEFAULT_WALLET", "Network", "Party", "Sent", "ask"]
