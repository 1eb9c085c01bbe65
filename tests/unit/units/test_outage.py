import errno
import sqlite3

import pytest
from sqlalchemy.exc import OperationalError, ProgrammingError

from benchpool.errors import HandlerError, StoreError
from benchpool.extensions.database import Database
from benchpool.process.process import Process, State, handler
from benchpool.units.outage import is_outage


def _sqlite_error(code, text="database or disk is full"):
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    "error",
    [
        _sqlite_error(sqlite3.SQLITE_FULL),
        _sqlite_error(sqlite3.SQLITE_IOERR_FSYNC),
        OperationalError("INSERT", None, _sqlite_error(sqlite3.SQLITE_FULL)),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
def test_a_full_or_failing_disk_is_an_outage(error):
    assert is_outage(error)
    wrapped = HandlerError("could not write")
    wrapped.__cause__ = error
    assert is_outage(wrapped)


@pytest.mark.parametrize(
    "error",
    [
        HandlerError("refused"),
        OperationalError("SELECT", None, _sqlite_error(sqlite3.SQLITE_ERROR, "no such table: x")),
        ProgrammingError("SELECT", None, sqlite3.ProgrammingError("closed")),
        OSError(errno.ENOENT, "No such file"),
        MemoryError(),
    ],
)
def test_a_fault_of_the_handler_is_none(error):
    assert not is_outage(error)


class Writer(Process):
    state: State
    extensions = ("Database",)
    full = True

    @handler("Write")
    def write(self, message):
        if Writer.full:
            raise OperationalError("INSERT", None, _sqlite_error(sqlite3.SQLITE_FULL))
        self.reply(message, "Written")


def test_a_message_that_met_a_full_disk_is_evaluated_again_later(make_network, tmp_path):
    network = make_network(Writer, home=tmp_path)
    network.spawn("Writer", name="writer")
    Writer.full = True
    with pytest.raises(StoreError, match="disk is full"):
        network.send("writer", "Write")
    network.close(abort=True)
    Writer.full = False
    again = make_network(Writer, home=tmp_path)
    assert again.resumed == 1
    again.run()
    assert again.inbox("default")[-1].action == "Written"


def test_a_database_that_cannot_be_made_lets_go_of_its_lock(tmp_path, monkeypatch):
    from benchpool.extensions import database

    made = database._own.create_all

    def fail(connection):
        made(connection)
        raise _sqlite_error(sqlite3.SQLITE_FULL)

    monkeypatch.setattr(database._own, "create_all", fail)
    with pytest.raises(sqlite3.OperationalError) as caught:
        Database(tmp_path / "x.sqlite")
    monkeypatch.undo()
    Database(tmp_path / "x.sqlite").close()
    assert caught.value.sqlite_errorcode == sqlite3.SQLITE_FULL  # and still holds the traceback
