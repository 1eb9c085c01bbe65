import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table, func, insert, select
from sqlalchemy.exc import IntegrityError

from benchpool.ao.message import Message
from benchpool.errors import HandlerError
from benchpool.extensions.database import Database
from benchpool.process.process import Process, State, handler
from benchpool.store.sqlite import SqliteStore

tables = MetaData()
books = Table("books", tables, Column("id", Integer, primary_key=True), Column("title", String))
pages = Table(
    "pages",
    tables,
    Column("id", Integer, primary_key=True),
    Column("book", ForeignKey("books.id"), nullable=False),
)


class Kept(State):
    written: int = 0


class Library(Process):
    state: Kept
    extensions = ("Database",)

    def on_spawn(self, message: Message) -> None:
        self.database.create(tables)

    def count(self) -> int:
        return self.database.session.scalar(select(func.count()).select_from(books))

    @handler("Write")
    def write(self, message: Message) -> None:
        self.database.session.execute(insert(books), {"title": message.text})
        self.state.written += 1
        if "Fail" in message.tags:
            raise HandlerError("not this one")
        self.log(f"{self.count()} books")
        if "To" in message.tags:
            self.send(message.tags["To"], "Note", {"Count": self.count()})
            self.send(self.id, "Write", data="follow-up")

    @handler("Tear")
    def tear(self, message: Message) -> None:
        self.state.written += 1
        self.database.session.execute(insert(pages), {"book": 99})

    @handler("Count")
    def ask(self, message: Message) -> None:
        self.log(f"{self.count()} books")


class Echo(Process):
    state: Kept

    @handler("Note")
    def note(self, message: Message) -> None:
        self.state.written += int(message.tags["Count"])
        if self.state.written % 2:
            self.reply(message, "Write", data="echo")


@pytest.fixture(params=["memory", "disk"])
def network(request, make_network, tmp_path):
    home = None if request.param == "memory" else tmp_path / "home"
    network = make_network(Library, Echo, home=home)
    network.spawn("Library", name="library")
    return network


def count(network, name="library"):
    return network.dry_run(name, "Count").output


def test_what_a_message_writes_is_kept_with_its_state(network):
    assert network.send("library", "Write", data="a").result.output == "1 books"
    assert network.send("library", "Write", data="b").result.output == "2 books"
    assert network.process("library").state.written == 2


def test_a_failing_handler_writes_nothing(network):
    network.send("library", "Write", data="a")
    assert network.send("library", "Write", {"Fail": "1"}).error == "not this one"
    assert count(network) == "1 books"
    assert network.process("library").state.written == 1
    assert network.send("library", "Write").result.output == "2 books"


def test_foreign_keys_are_enforced_and_the_failure_is_the_message_s_error(network):
    sent = network.send("library", "Tear")
    assert "FOREIGN KEY" in sent.error
    assert network.process("library").state.written == 0
    assert count(network) == "0 books"


def test_a_dry_run_writes_nothing(network):
    assert network.dry_run("library", "Write").output == "1 books"
    assert network.dry_run("library", "Write").output == "1 books"
    assert network.process("library").state.written == 0
    assert network.send("library", "Write").result.output == "1 books"


def test_two_processes_have_two_databases(network):
    network.spawn("Library", name="other")
    network.send("library", "Write")
    assert count(network, "other") == "0 books"


def test_a_reopened_home_has_the_rows(make_network, tmp_path, everything):
    network = make_network(Library, Echo, home=tmp_path)
    network.spawn("Library", name="library")
    for number in range(3):
        network.send("library", "Write", data=str(number))
    before = everything(network)
    network.close()
    again = make_network(Library, Echo, home=tmp_path)
    assert everything(again) == before
    assert again.send("library", "Write").result.output == "4 books"


def test_a_reader_beside_a_writer_sees_the_rows_that_were_committed(make_network, tmp_path):
    network = make_network(Library, Echo, home=tmp_path)
    network.spawn("Library", name="library")
    network.send("library", "Write")
    reader = make_network(Library, Echo, home=tmp_path, read_only=True)
    assert count(reader) == "1 books"
    network.send("library", "Write")
    assert count(make_network(Library, Echo, home=tmp_path, read_only=True)) == "2 books"


def test_a_constraint_that_fails_at_the_flush_is_taken_back(tmp_path):
    database = Database(tmp_path / "d.sqlite")
    database.create(tables)
    database.commit()
    with pytest.raises(IntegrityError):
        database.session.execute(insert(pages), {"book": 1})
    database.rollback()
    database.session.execute(insert(books), {"title": "x"})
    database.commit()
    assert database.session.scalar(select(func.count()).select_from(books)) == 1
    database.close()


# -- crashes -----------------------------------------------------------------------------------


def prepare(network):
    echo = network.spawn("Echo", name="echo")
    cron = [("Cron-Interval", "1-hour"), ("Cron-Tag-Action", "Write"), ("Cron-Tag-To", echo)]
    network.spawn("Library", cron, name="library")
    network.spawn("Library", cron, name="other")
    network.until = network.clock.now() + 3 * 3_600_000


def go_on(network, until):
    network.run()
    if network.clock.now() < until:
        network.advance(until - network.clock.now())


@pytest.fixture(scope="module")
def whole():
    """What an uninterrupted run gives, filled by the first test that needs it."""
    return {}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("owner", "method", "count"),
    [(SqliteStore, "commit", n) for n in (1, 2, 5, 9)]
    + [(Database, "save", n) for n in (1, 2, 4)]
    + [
        pytest.param(owner, method, n, marks=pytest.mark.slow)
        for owner, method, numbers in (
            (SqliteStore, "commit", (3, 4, 6, 7, 12)),
            (Database, "save", (3, 5, 8)),
        )
        for n in numbers
    ],
)
def test_a_killed_run_goes_on_to_the_same_end(
    make_network, tmp_path, everything, in_a_child, die_at, whole, owner, method, count, when
):
    modules = (Library, Echo)
    first = make_network(*modules, home=tmp_path, seed=1)
    prepare(first)
    until = first.until
    first.close()

    def die():
        network = make_network(*modules, home=tmp_path)
        die_at(owner, method, count, when)
        go_on(network, until)

    assert in_a_child(die) == -9
    network = make_network(*modules, home=tmp_path)
    go_on(network, until)
    after = everything(network)
    rows = [network.dry_run(name, "Count").output for name in ("library", "other")]
    if not whole:
        memory = make_network(*modules, seed=1)
        prepare(memory)
        go_on(memory, until)
        whole["logs"] = everything(memory)
        whole["rows"] = [memory.dry_run(name, "Count").output for name in ("library", "other")]
    assert after == whole["logs"]
    assert rows == whole["rows"]
    written = [network.process(name).state.written for name in ("library", "other")]
    assert [f"{each} books" for each in written] == rows
