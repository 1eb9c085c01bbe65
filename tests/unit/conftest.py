"""Networks that are closed again, and the modules that the engine's tests spawn."""

import pytest

from benchpool.network import Network
from benchpool.registry import Registry


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
