"""Models that a server runs: what they answer, what is refused, and what is never done."""

import json
import re
import socket
import threading
import time
from contextlib import closing, contextmanager, suppress

import msgspec
import pytest
from model_server import KNOWN, nats_of, serve, tokens_of

from benchpool.errors import ConfigError, InferenceError, PrerequisiteError
from benchpool.inference import (
    ChoicesAnswer,
    ChoicesRequest,
    CompleteRequest,
    GenerateRequest,
    Generation,
    Unanswered,
)
from benchpool.inference.engines import MadeEngines
from benchpool.inference.files.catalogue import Catalogue
from benchpool.inference.remote import RemoteEngines
from benchpool.inference.remote_models import RemoteTerms, describe_server
from benchpool.inference.remote_spending import Spending

PAUSE_S = 0.001
CHOICES = ChoicesRequest("The cat and the", (" dog runs", " sun"), greedy=True)
KEY = "sk-very-secret-0123456789"


def no_local(path, precision):
    raise InferenceError(f"{path} is no model")


@pytest.fixture
def catalogue(tmp_path):
    return Catalogue(tmp_path / "models")


@pytest.fixture
def add(catalogue):
    def added(server, **terms):
        return catalogue.add_server(
            server.address, "made-up", "far", RemoteTerms(**terms), pause_s=PAUSE_S
        )

    return added


@pytest.fixture
def opened(catalogue):
    def opens(path, seconds=0.0):
        return RemoteEngines(
            MadeEngines(no_local), catalogue.cache, seconds=seconds, pause_s=PAUSE_S
        ).open(path)

    return opens


def ask(engine, *requests):
    with engine:
        return engine.answer(requests)


# -- what it answers -----------------------------------------------------------------------------


def test_choices_are_scored_token_by_token(add, opened):
    with serve() as server:
        (answer,) = ask(opened(add(server).path), CHOICES)
    assert isinstance(answer, ChoicesAnswer)
    for choice, scored in zip(CHOICES.choices, answer.log_likelihoods, strict=True):
        text, nats = CHOICES.prompt, 0.0
        for token in tokens_of(choice):
            nats += nats_of(token, text)
            text += token
        assert scored.nats == pytest.approx(nats)
        assert scored.tokens == len(tokens_of(choice))
    assert [each.greedy for each in answer.log_likelihoods].count(True) <= 1
    assert answer.prompt_tokens == 4


def test_white_space_before_a_choice_belongs_to_it(add, opened):
    with serve() as server:
        engine = opened(add(server).path)
        with engine:
            before, after = engine.answer(
                [
                    ChoicesRequest("The cat and the ", ("dog",)),
                    ChoicesRequest("The cat and the", (" dog",)),
                ]
            )
    assert before == after


def test_text_and_turns_are_written(add, opened):
    with serve() as server:
        text, turn = ask(
            opened(add(server).path),
            CompleteRequest("The cat and", (), 3),
            GenerateRequest("Hello", "Be short.", 2),
        )
        sent = [body for _, body, _ in server.asked[-2:]]
    assert isinstance(text, Generation)
    assert (text.tokens, text.finish) == (3, "length")
    assert isinstance(turn, Generation)
    messages = next(body["messages"] for body in sent if "messages" in body)
    assert [each["role"] for each in messages] == ["system", "user"]
    assert all(body["temperature"] == 0 for body in sent)


def test_text_ends_before_the_first_stop_string_however_many_there_are(add, opened):
    with serve() as server:
        path = add(server).path
        (whole,) = ask(opened(path), CompleteRequest("The cat and", (), 4))
        stop = whole.text.split()[2]
        stops = ("~1", "~2", "~3", "~4", "~5", stop)
        (cut,) = ask(opened(path), CompleteRequest("The cat and", stops, 4))
        sent = server.asked[-1][1]["stop"]
    assert cut.text == whole.text.split(stop)[0]
    assert cut.finish == "stop"
    assert len(sent) == 4


def test_what_is_no_description_is_opened_by_the_other_engines(catalogue, tmp_path):
    path = tmp_path / "x.gguf"
    path.write_bytes(b"GGUF")
    engines = RemoteEngines(MadeEngines(no_local), catalogue.cache)
    with pytest.raises(InferenceError, match="is no model"):
        engines.open(path)
    engines.admit(path)


def test_the_runtime_says_that_it_is_remote(add, opened):
    with serve() as server, opened(add(server).path) as engine:
        assert engine.runtime.layout == "remote-choices"
        assert "not reproducible" in engine.runtime.build
        assert engine.card.sha256 == json.loads(msgspec.json.encode(engine.card))["sha256"]


def test_another_precision_is_refused(add, catalogue):
    with serve() as server:
        path = add(server).path
    engines = RemoteEngines(MadeEngines(no_local), catalogue.cache)
    with pytest.raises(InferenceError, match="not in bf16"):
        engines.open(path, "bf16")


# -- the probe -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"shifted": True}, "not those of its tokens"),
        ({"constant": -1.0}, "not those of its tokens|as likely as"),
        ({"no_echo": True}, "do not come back"),
        ({"no_logprobs": True}, "no log-probabilities"),
    ],
)
def test_a_server_that_scores_wrongly_is_not_asked_for_scores(add, opened, fault, reason):
    with serve(**fault) as server:
        added = add(server)
        engine = opened(added.path)
        assert engine.runtime.layout == "remote-text"
        scored, written = ask(engine, CHOICES, CompleteRequest("The cat", (), 2))
    assert isinstance(scored, Unanswered)
    assert "far" in scored.reason
    assert re.search(reason, scored.reason)
    assert isinstance(written, Generation)


def test_known_answers_are_known_to_the_model_here():
    for prompt, right, wrong in KNOWN:
        assert nats_of(right, prompt) > nats_of(wrong, prompt)


def test_a_server_without_texts_is_asked_turns_alone(add, opened):
    with serve() as server:
        server.reply_text = server.reply

        def turns_only(path, body):
            if not path.endswith("/chat/completions"):
                raise OSError
            return server.reply_text(path, body)

        server.script = [(400, {}, b'{"error":{"message":"not for chat models"}}')]
        added = add(server)
        written, turn = ask(
            opened(added.path), CompleteRequest("The cat", (), 2), GenerateRequest("Hi")
        )
    assert isinstance(written, Unanswered)
    assert "does not go on from a text" in written.reason
    assert isinstance(turn, Generation)


def test_admission_notices_a_server_that_has_changed(add, catalogue):
    with serve() as server:
        path = add(server).path
        engines = RemoteEngines(MadeEngines(no_local), catalogue.cache, pause_s=PAUSE_S)
        engines.admit(path)
        server.faults["shifted"] = True
        with pytest.raises(InferenceError, match="could answer choices when it was added"):
            engines.admit(path)


# -- who may be asked ----------------------------------------------------------------------------


def test_data_that_names_a_server_opens_nothing_by_itself(catalogue, tmp_path):
    with serve() as server:
        path = tmp_path / "data"
        path.write_bytes(describe_server(server.address, "made-up").data)
        with pytest.raises(InferenceError, match="has not added"):
            RemoteEngines(MadeEngines(no_local), catalogue.cache).open(path)
        assert not server.asked


def test_the_same_address_with_another_salt_is_not_the_one_on_the_list(add, opened, tmp_path):
    with serve() as server:
        add(server)
        path = tmp_path / "data"
        path.write_bytes(describe_server(server.address, "made-up", salt="0").data)
        with pytest.raises(InferenceError, match="has not added"):
            opened(path)


@pytest.mark.parametrize(
    "data",
    [
        b'{"benchpool":"model server"',
        b'{"benchpool":"model server","url":"http://x/v1","model":"m"}',
        b'{"benchpool":"model server","url":"http://x/v1","model":"m","salt":"","key":"k"}',
        b'{"benchpool":"model server","url":' + b"[" * 5000,
        b'{"benchpool":"model server","url":"\xff"}',
    ],
)
def test_a_damaged_description_is_refused(catalogue, tmp_path, data):
    path = tmp_path / "data"
    path.write_bytes(data)
    with pytest.raises(InferenceError, match="not the data of a remote model"):
        RemoteEngines(MadeEngines(no_local), catalogue.cache).open(path)


@pytest.mark.parametrize(
    "address",
    [
        "http://h/v1",
        "openai+ftp://h/v1",
        "openai+http:///v1",
        "openai+http://h:port/v1",
        "openai+http://h:99999/v1",
        "openai+http://user:pa55@h/v1",
        "openai+http://h/v1?key=pa55",
        "openai+http://h/v1#pa55",
        "openai+http://h/v1\r\nX: pa55",
        "openai+http://[h/v1",
        "openai+http://h/ü",
    ],
)
def test_what_is_no_address_is_refused_without_repeating_it(catalogue, address):
    with pytest.raises(ConfigError) as refused:
        catalogue.add_server(address, "m", "far")
    assert "pa55" not in str(refused.value)
    assert not list(catalogue.servers)


def test_redirects_are_not_followed(add, opened):
    with serve() as server, serve() as other:
        path = add(server).path
        server.script = [(307, {"Location": other.address.removeprefix("openai+")}, b"")]
        (outcome,) = ask(opened(path), CHOICES)
        assert isinstance(outcome, InferenceError)
        assert "HTTP 307" in str(outcome)
        assert not other.asked


# -- the list ------------------------------------------------------------------------------------


def test_a_server_is_listed_found_and_removed_by_name(add, catalogue):
    with serve() as server:
        added = add(server)
        assert [model.name for model in catalogue.list()] == ["far"]
        assert catalogue.find("far") == added.path
        catalogue.remove("far")
    with pytest.raises(PrerequisiteError):
        catalogue.find("far")
    assert not list(catalogue.servers)


def test_added_again_it_keeps_its_id_and_takes_new_terms(add, catalogue):
    with serve() as server:
        first, again = add(server), add(server, max_tokens_total=5_000)
    assert first.sha256 == again.sha256
    assert catalogue.servers.read("far").terms.max_tokens_total == 5_000


def test_a_name_stands_for_one_model(add, catalogue):
    with serve() as server, serve() as other:
        add(server)
        with pytest.raises(ConfigError, match="another server already"):
            add(other)
        assert not other.asked


def test_a_server_that_cannot_be_asked_is_not_added(add, catalogue):
    with serve() as server:
        server.script = [(404, {}, b'{"error":"no model made-up"}')] * 4
        with pytest.raises(InferenceError, match="HTTP 404: no model made-up"):
            add(server)
    assert not list(catalogue.servers)


# -- time, and what goes wrong -------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 408, 429, 500, 502, 503, 504])
def test_what_fails_for_now_is_asked_again(add, opened, status):
    with serve() as server:
        path = add(server, concurrency=1).path
        server.script = [(status, {}, b"")] * 3
        (answer,) = ask(opened(path), CompleteRequest("The cat", (), 2))
    assert isinstance(answer, Generation)


def test_retry_after_is_waited_for_by_all(add, catalogue):
    with serve() as server:
        path = add(server, concurrency=1).path
        server.script = [(429, {"Retry-After": "1"}, b"")]
        times: list[float] = []
        reply = server.reply

        def timed(*asked):
            times.append(time.monotonic())
            return reply(*asked)

        server.reply = timed
        engines = RemoteEngines(MadeEngines(no_local), catalogue.cache, pause_s=PAUSE_S)
        started = time.monotonic()
        with closing(engines), engines.open(path) as one, engines.open(path) as other:
            threads = [
                threading.Thread(target=each.answer, args=([CompleteRequest("The cat", (), 1)],))
                for each in (one, other)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert len(times) == 2
    assert min(times) - started >= 1


def test_a_pause_that_is_too_long_is_not_waited_for(add, opened):
    with serve() as server:
        path = add(server, concurrency=1).path
        server.script = [(429, {"Retry-After": "86400"}, b"")]
        asked = len(server.asked)
        outcomes = ask(opened(path), *[CompleteRequest(f"The cat {n}", (), 1) for n in range(5)])
        assert len(server.asked) == asked + 1
    assert all("wait for 86,400 s" in str(each) for each in outcomes)


def test_a_server_that_is_gone_is_not_asked_on_and_on(add, opened):
    with serve() as server:
        path = add(server).path
    outcomes = ask(opened(path), *[CompleteRequest(f"The cat {n}", (), 1) for n in range(200)])
    assert all(isinstance(each, InferenceError) for each in outcomes)
    assert "refused, 5 times" in str(outcomes[0])


def test_what_a_server_refuses_stays_unanswered_and_others_do_not(add, opened):
    with serve() as server:
        path = add(server, concurrency=1).path
        server.script = [(400, {}, b'{"error":{"message":"context too long"}}')]
        first, second = ask(opened(path), *[CompleteRequest(f"The cat {n}", (), 1) for n in (1, 2)])
    assert isinstance(first, Unanswered)
    assert "context too long" in first.reason
    assert isinstance(second, Generation)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"no json",
        b"[" * 100_000,
        b"{}",
        b'{"choices":[]}',
        b'{"choices":[{"text":"\\ud800"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}',
        b'{"choices":[{"text":"x"}]}',
        b'{"choices":[{"text":3}],"usage":{"prompt_tokens":1,"completion_tokens":1}}',
        b'{"choices":[{"text":"'
        + b"x" * 9999
        + b'"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}',
    ],
)
def test_what_is_no_answer_becomes_an_error(add, opened, raw):
    with serve() as server:
        path = add(server, concurrency=1).path
        server.script = [(200, {}, raw)]
        (outcome,) = ask(opened(path), CompleteRequest("The cat", (), 2))
    assert isinstance(outcome, InferenceError)
    assert len(str(outcome)) < 300


@pytest.mark.parametrize("value", ["1.5", "NaN", "-Infinity", "1e999", '"0"'])
def test_a_log_probability_that_is_none_is_no_score(add, opened, value):
    body = (
        '{"choices":[{"text":"","logprobs":{"tokens":["The cat and the"," sun","x"],'
        f'"token_logprobs":[null,{value},-1]}}}}],'
        '"usage":{"prompt_tokens":2,"completion_tokens":1}}'
    )
    with serve() as server:
        path = add(server, concurrency=1).path
        server.script = [(200, {}, body.encode())]
        (outcome,) = ask(opened(path), ChoicesRequest("The cat and the", (" sun",)))
    assert isinstance(outcome, InferenceError)


def test_tokens_that_do_not_part_are_no_score(add, opened):
    with serve() as server:
        path = add(server).path
        (outcome,) = ask(opened(path), ChoicesRequest("The ca", ("t",)))
    assert isinstance(outcome, Unanswered)
    assert "do not part" in outcome.reason


def test_never_more_requests_at_a_time_than_agreed(add, opened, catalogue):
    with serve() as server:
        path = add(server, concurrency=2).path
        server.most = 0
        engines = RemoteEngines(MadeEngines(no_local), catalogue.cache)
        with closing(engines), engines.open(path) as one, engines.open(path) as other:
            requests = [CompleteRequest(f"The cat {n}", (), 1) for n in range(20)]
            threads = [
                threading.Thread(target=each.answer, args=(requests,)) for each in (one, other)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert 1 <= server.most <= 2
        assert engines.stats().answered == 40


# A server that never comes to an end, with what it begins and what it goes on with.
TRICKLES = {
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"{"),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "trailers": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
        b"X: y\r\n",
    ),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@contextmanager
def trickling(begin, more):
    ended = threading.Event()

    def trickle(listening):
        listening.settimeout(0.1)
        while not ended.is_set():
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                continue
            with connection, suppress(OSError):
                connection.sendall(begin)
                while not ended.wait(0.02):
                    connection.sendall(more)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=trickle, args=(listening,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        finally:
            ended.set()
            thread.join()


@pytest.mark.parametrize("trickle", TRICKLES.values(), ids=TRICKLES)
def test_a_server_that_trickles_is_cut_off(add, opened, trickle):
    with serve() as server, trickling(*trickle) as url:
        added = add(server, timeout_s=0.3)
        description = json.loads(added.path.read_bytes())
        description["url"] = url
        added.path.write_text(json.dumps(description, separators=(",", ":")))
        (outcome,) = ask(opened(added.path, seconds=5), CompleteRequest("The cat", (), 1))
    assert isinstance(outcome, InferenceError | Unanswered)


@pytest.mark.parametrize("trickle", TRICKLES.values(), ids=TRICKLES)
def test_a_server_that_trickles_is_not_added(catalogue, trickle):
    with trickling(*trickle) as url, pytest.raises(InferenceError):
        catalogue.add_server(
            f"openai+{url}", "m", "far", RemoteTerms(timeout_s=0.2), pause_s=PAUSE_S
        )
    assert not list(catalogue.servers)


def test_a_call_has_a_time_and_the_rest_stays_unanswered(add, opened):
    with serve() as server:
        path = add(server).path
        server.gate.clear()
        outcomes = ask(opened(path, seconds=0.3), *[CompleteRequest("The cat", (), 1)] * 9)
    assert all(isinstance(each, Unanswered) and "too slow" in each.reason for each in outcomes)


def test_closing_ends_a_call_in_progress(add, catalogue):
    with serve() as server:
        path = add(server).path
        engines = RemoteEngines(MadeEngines(no_local), catalogue.cache)
        engine = engines.open(path)
        server.gate.clear()
        found = []
        asking = threading.Thread(
            target=lambda: found.extend(engine.answer([CompleteRequest("The cat", (), 1)] * 9))
        )
        before = len(server.asked)
        asking.start()
        while len(server.asked) == before:
            time.sleep(0.01)
        engines.close()
        asking.join(10)
        assert not asking.is_alive()
        with pytest.raises(InferenceError, match="closed"):
            engines.open(path)
    assert all("closed" in str(each) for each in found)


# -- money and keys ------------------------------------------------------------------------------


def test_no_more_tokens_are_spent_than_agreed_ever(add, opened, catalogue):
    with serve() as server:
        spent = Spending(catalogue.cache)
        model = add(server).sha256
        path = add(server, max_tokens_total=0, concurrency=1).path
        most = spent.spent(model) + 400
        add_terms = msgspec.structs.replace(
            catalogue.servers.read("far").terms, max_tokens_total=most
        )
        catalogue.servers.keep(
            msgspec.structs.replace(catalogue.servers.read("far"), terms=add_terms)
        )
        request = CompleteRequest("The cat", (), 5)
        outcomes = ask(opened(path), *[request] * 200)
        asked = len(server.asked)
        again = ask(opened(path), request)
        assert len(server.asked) == asked
    assert 0 < sum(isinstance(each, Generation) for each in outcomes) < 200
    assert "--max-tokens-total" in str(outcomes[-1])
    assert "--max-tokens-total" in str(again[0])
    assert spent.spent(model) <= most


def test_what_was_cut_off_counts_in_full_and_what_was_refused_not_at_all(add, opened, catalogue):
    with serve() as server:
        added = add(server, concurrency=1)
        spending = Spending(catalogue.cache)
        request = CompleteRequest("The cat", (), 5)

        def cost(*script):
            before = spending.spent(added.sha256)
            server.script = list(script)
            ask(opened(added.path), request)
            return spending.spent(added.sha256) - before

        plain = cost()
        assert plain == 7
        assert cost((503, {}, b"")) == plain
        assert cost((400, {}, b"")) == 0
        assert cost((0, {}, b"")) > 5 * plain


def test_what_a_server_says_it_took_counts_only_if_it_can_be(add, opened, catalogue):
    raw = b'{"choices":[{"text":" x"}],"usage":{"prompt_tokens":%d,"completion_tokens":1}}'
    with serve() as server:
        added = add(server, concurrency=1)
        for said in (-50, 10**9):
            before = Spending(catalogue.cache).spent(added.sha256)
            server.script = [(200, {}, raw % said)]
            ask(opened(added.path), CompleteRequest("The cat", (), 5))
            assert Spending(catalogue.cache).spent(added.sha256) - before == 64 + 7 + 5


def test_an_account_that_cannot_be_kept_lets_nothing_be_asked(add, opened, catalogue):
    with serve() as server:
        path = add(server).path
        account = Spending(catalogue.cache).path
        account.unlink()
        account.mkdir()
        asked = len(server.asked)
        (outcome,) = ask(opened(path), CompleteRequest("The cat", (), 1))
        assert len(server.asked) == asked
    assert "cannot be kept" in str(outcome)


def test_a_key_comes_from_the_environment_and_goes_nowhere_but_to_its_server(
    add, opened, catalogue, monkeypatch, caplog
):
    monkeypatch.setenv("FAR_KEY", KEY)
    with serve() as server:
        path = add(server, key_variable="FAR_KEY", concurrency=1).path
        leak = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}}).encode()
        text = json.dumps(
            {
                "choices": [{"text": KEY}],
                "usage": {"prompt_tokens": 2, "completion_tokens": 4},
            }
        )
        hidden = text.replace(KEY, "\\u0073" + KEY[1:])
        said = []
        for script in (
            (401, {}, leak),
            (400, {}, leak),
            (404, {}, leak),
            (418, {}, KEY.encode()),
            (200, {}, text.encode()),
            (200, {}, hidden.encode()),
        ):
            server.script = [script]
            said.append(str(ask(opened(path), CompleteRequest("The cat", (), 4))))
        server.script = [(503, {}, leak)] * 5
        said.append(str(ask(opened(path), CompleteRequest("The cat", (), 4))))
        assert all(headers["Authorization"] == f"Bearer {KEY}" for _, _, headers in server.asked)
    written = b"".join(path.read_bytes() for path in catalogue.cache.iterdir())
    assert KEY not in " ".join(said) + caplog.text
    assert KEY.encode() not in written
    assert sum("repeats the key" in each for each in said) == 2
    assert "look at FAR_KEY" in said[0]


@pytest.mark.parametrize("value", [None, "", "two words", "line\nbreak", "kä"])
def test_a_key_that_is_none_is_told_by_its_variable(add, catalogue, monkeypatch, value):
    monkeypatch.delenv("FAR_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("FAR_KEY", value)
    with serve() as server:
        with pytest.raises(InferenceError, match="FAR_KEY") as refused:
            add(server, key_variable="FAR_KEY")
        assert not server.asked
    assert not value or value not in str(refused.value)


def test_a_key_is_sent_to_another_machine_by_https_only(catalogue):
    with pytest.raises(ConfigError, match="https only"):
        catalogue.add_server(
            "openai+http://example.org/v1", "m", "far", RemoteTerms(key_variable="FAR_KEY")
        )


def test_the_key_itself_is_no_variable(catalogue):
    with pytest.raises(ConfigError) as refused:
        catalogue.add_server(
            "openai+https://example.org/v1", "m", "far", RemoteTerms(key_variable=KEY)
        )
    assert KEY not in str(refused.value)
