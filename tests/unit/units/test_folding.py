from benchpool.process.process import Process, State, handler


class Clumsy(Process):
    state: State

    @handler("Ask")
    def ask(self, message) -> None:
        self.log(message.tags.Quantity)

    @handler("Other")
    def other(self, message) -> None:
        self.log(message.quantity)


def test_a_tag_asked_as_an_attribute_is_explained_at_its_place(make_network):
    network = make_network(Clumsy)
    network.spawn("Clumsy", name="c")
    error = network.result(network.send("c", "Ask", {"Quantity": "1"}).id).error
    said = "AttributeError: tags have no Quantity; look a tag up with tags.get('Quantity')"
    assert error == f"{said} (test_folding.py:9)"


def test_another_attribute_that_is_not_there_is_told_as_python_does(make_network):
    network = make_network(Clumsy)
    network.spawn("Clumsy", name="c")
    error = network.result(network.send("c", "Other").id).error
    assert (
        error == "AttributeError: 'Message' object has no attribute 'quantity' (test_folding.py:13)"
    )
