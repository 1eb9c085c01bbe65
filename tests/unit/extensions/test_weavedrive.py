import pytest

from benchpool.ao.ids import encode_id
from benchpool.ao.message import Message
from benchpool.errors import HandlerError
from benchpool.process.process import Process, State, handler


class Text(State):
    text: str = ""


class Reader(Process):
    state: Text
    extensions = ("WeaveDrive",)

    @handler("Read", requires=("Id",))
    def read(self, message: Message) -> None:
        self.state.text = self.weavedrive.read(message.tags["Id"]).decode()


@pytest.fixture
def network(make_network):
    network = make_network(Reader)
    network.spawn("Reader", name="reader")
    return network


def test_a_process_reads_data_by_its_id(network):
    network.send("reader", "Read", {"Id": network.data.put(b"hello")})
    assert network.process("reader").state.text == "hello"


@pytest.mark.parametrize("data_id", [encode_id(bytes(32)), "../../etc/passwd", "/" * 43])
def test_missing_data_is_the_message_s_error(network, data_id):
    assert "data" in network.send("reader", "Read", {"Id": data_id}).error
    with pytest.raises(HandlerError):
        network.process("reader").weavedrive.path(data_id)


def test_changed_data_is_the_message_s_error(network):
    data_id = network.data.put(b"hello")
    path = network.data.folder / data_id
    path.chmod(0o644)
    path.write_bytes(b"jello")
    assert "was changed" in network.send("reader", "Read", {"Id": data_id}).error
    assert network.process("reader").state.text == ""
