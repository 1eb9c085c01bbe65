"""Networks that are closed again, and the modules that the engine's tests spawn."""

import os
import signal
import traceback
import warnings

import pytest

from benchpool.ao.message import encode, encode_result
from benchpool.network import Network
from benchpool.process.registry import Registry


@pytest.fixture
def make_network():
    """Open networks with the given modules; every one is closed at the end."""
    opened = []

    def make(*modules, home=None, **options):
        registry = Registry()
        for module in modules:
            registry.add(module)
        network = Network(home, registry=registry, **options)
        opened.append(network)
        return network

    yield make
    for network in opened:
        network.close(abort=True)


@pytest.fixture
def in_a_child():
    """Run something in a forked child process and wait; return how the child ended."""

    def run(work):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # other tests' threads stay behind
            child = os.fork()
        if child == 0:
            try:
                work()
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    return run


@pytest.fixture
def die_at():
    """Make the n-th call of a method the last thing that this process does."""

    def patch(owner, method, count, when):
        original = getattr(owner, method)
        calls = 0

        def dying(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == count and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(*args, **kwargs)
            if calls == count:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        setattr(owner, method, dying)

    return patch


@pytest.fixture
def everything():
    """All that a network holds: logs with results, mail, memories, names, wallets, time."""

    def gather(network):
        parties = [info.id for info in network.processes()]
        parties += [wallet.address for wallet in network.wallets()]
        return {
            "logs": {
                party: [
                    (encode(message), None if result is None else encode_result(result))
                    for message, result in network.log(party)
                ]
                for party in parties
            },
            "memories": {info.id: network.process(info.id).dump() for info in network.processes()},
            "infos": network.processes(),
            "names": network.names(),
            "wallets": network.wallets(),
            "messenger": network.messenger.address,
            "now": network.clock.now(),
            "count": network.store.count(),
        }

    return gather
