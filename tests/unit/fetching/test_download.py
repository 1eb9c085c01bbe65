"""Downloads over a server of this machine that cuts, redirects, lies and stalls as it is told."""

import hashlib
import http.server
import threading
from dataclasses import dataclass, field

import pytest

from benchpool.errors import ConfigError, FetchError, ModelFileError
from benchpool.fetching import download as downloads
from benchpool.fetching.fetch import Wanted, fetch
from benchpool.fetching.sources import HuggingFaceSource, UrlSource, describe, read_source
from benchpool.inference.files.catalogue import Catalogue

CONTENT = bytes(range(256)) * 4096
HASH = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Site:
    """What the server does."""

    content: bytes = CONTENT
    tag: str = '"one"'
    ranges: bool = True
    cut_after: int | None = None
    """Bytes of an answer after which the connection ends."""
    length: bool = True
    lies: str = ""
    """A Content-Range to send instead of the true one."""
    redirects: dict = field(default_factory=dict)
    """By path: where to, and further headers."""
    asked: list = field(default_factory=list)
    """The Range of each request for the file."""
    url: str = ""


@pytest.fixture
def site(monkeypatch):
    state = Site()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            if self.path in state.redirects:
                where, headers = state.redirects[self.path]
                self.send_response(302)
                self.send_header("Location", where)
                for pair in headers.items():
                    self.send_header(*pair)
                self.end_headers()
                return
            wanted = self.headers.get("Range", "")
            state.asked.append(wanted)
            start = int(wanted.removeprefix("bytes=").removesuffix("-") or 0)
            if not state.ranges or self.headers.get("If-Range", state.tag) != state.tag:
                start = 0
            if start >= len(state.content) and start:
                self.send_error(416)
                return
            body = state.content[start:]
            self.send_response(206 if start else 200)
            if start:
                last = len(state.content) - 1
                said = state.lies or f"bytes {start}-{last}/{len(state.content)}"
                self.send_header("Content-Range", said)
            if state.length:
                self.send_header("Content-Length", str(len(body)))
            if state.tag:
                self.send_header("ETag", state.tag)
            self.end_headers()
            if state.cut_after is not None:
                body = body[: state.cut_after]
            self.wfile.write(body)

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(downloads, "PAUSE_S", 0)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("HF_ENDPOINT", state.url)
        yield state
        server.shutdown()
        thread.join()


@pytest.fixture
def get(site, tmp_path):
    staging = tmp_path / "staging"
    staging.mkdir()

    def bring(sha256=None, size=None, path="/file", progress=None):
        (staging / "file").unlink(missing_ok=True)
        wanted = Wanted("thing", UrlSource(url=site.url + path), size, sha256)
        return fetch(wanted, staging, "file", progress).read_bytes()

    return bring


def left(tmp_path):
    return [path for path in tmp_path.iterdir() if path.name.startswith(downloads.PARTIAL)]


def stop_at(count):
    def progress(done, _total, _doing):
        if done >= count:
            raise KeyboardInterrupt

    return progress


def test_a_file_comes_whole_and_nothing_else_stays(get, tmp_path):
    steps = []
    assert get(HASH, len(CONTENT), progress=lambda *step: steps.append(step)) == CONTENT
    assert steps[-1] == (len(CONTENT), len(CONTENT), "downloading")
    assert left(tmp_path) == []


def test_a_cut_connection_is_gone_on_with_at_once(site, get):
    site.cut_after = 300_000
    assert get(HASH) == CONTENT
    assert site.asked == ["", "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_an_end_of_the_program_costs_only_what_is_missing(site, get, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "BLOCK_BYTES", 100_000)
    with pytest.raises(KeyboardInterrupt):
        get(None, progress=stop_at(400_000))
    assert len(left(tmp_path)) == 2
    assert get(None) == CONTENT
    assert site.asked == ["", "bytes=400000-"]
    assert left(tmp_path) == []


@pytest.mark.parametrize("pinned", [None, HASH])
def test_a_file_that_became_another_begins_anew(site, get, monkeypatch, pinned):
    monkeypatch.setattr(downloads, "BLOCK_BYTES", 100_000)
    old, site.content, site.tag = site.content, b"x" * 500_000, '"old"'
    with pytest.raises(KeyboardInterrupt):
        get(pinned, progress=stop_at(400_000))
    site.content, site.tag = old, '"new"'
    assert get(pinned) == old


def test_without_a_tag_or_ranges_it_begins_anew(site, get, monkeypatch):
    monkeypatch.setattr(downloads, "BLOCK_BYTES", 100_000)
    for site.tag, site.ranges in (("", True), ('W/"weak"', True), ('"one"', False)):
        with pytest.raises(KeyboardInterrupt):
            get(None, progress=stop_at(400_000))
        assert get(None) == CONTENT


def test_a_pinned_file_needs_no_tag_to_go_on(site, get, monkeypatch):
    monkeypatch.setattr(downloads, "BLOCK_BYTES", 100_000)
    site.tag = ""
    with pytest.raises(KeyboardInterrupt):
        get(HASH, progress=stop_at(400_000))
    assert get(HASH) == CONTENT
    assert site.asked == ["", "bytes=400000-"]


def test_a_server_that_sends_another_range_is_not_believed(site, get):
    site.cut_after, site.lies = 300_000, "bytes 5-9/10"
    with pytest.raises(FetchError, match="another range"):
        get(HASH)


def test_a_connection_that_never_gives_a_byte_more_is_given_up(site, get, tmp_path):
    site.cut_after = 0
    with pytest.raises(FetchError, match=r"ended after 0 of 1,048,576 bytes"):
        get(None)
    assert len(site.asked) == downloads.ATTEMPTS
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("sha256", "size", "said"),
    [
        ("0" * 64, None, "hash to SHA-256"),
        (None, 1000, "more than 1000 bytes"),
        (HASH, len(CONTENT) + 1, "expected 1048577"),
    ],
)
@pytest.mark.parametrize("length", [True, False])
def test_another_file_is_refused_and_not_kept(site, get, tmp_path, sha256, size, said, length):
    site.length = length
    with pytest.raises(FetchError, match=said):
        get(sha256, size)
    assert left(tmp_path) == []


def test_redirects_are_followed_and_what_a_hub_says_is_checked(site, get, tmp_path):
    site.redirects["/moved"] = ("/file", {"X-Linked-ETag": f'"{HASH}"'})
    site.redirects["/other"] = ("/file", {"X-Linked-ETag": f'"{"0" * 64}"'})
    site.redirects["/loop"] = ("/loop", {})
    assert get(None, path="/moved") == CONTENT
    with pytest.raises(FetchError, match="expected 0000"):
        get(None, path="/other")
    with pytest.raises(FetchError, match="answered 302"):
        get(None, path="/loop")


@pytest.mark.parametrize("where", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://x/"])
def test_redirects_elsewhere_are_not_followed(site, get, where):
    site.redirects["/away"] = (where, {})
    with pytest.raises(FetchError, match=r"answered 302|not followed"):
        get(None, path="/away")


def test_two_at_a_time_do_not_write_into_one_file(get, tmp_path):
    def second(_done, _total, _doing):
        with pytest.raises(FetchError, match="another benchpool is fetching it"):
            get(HASH)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(HASH, progress=second)
    assert get(HASH) == CONTENT


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("smollm2-135m", None),
        ("hf:o/r/f.gguf", HuggingFaceSource(repo="o/r", file="f.gguf")),
        ("hf:o/r@v1/a/f.gguf", HuggingFaceSource(repo="o/r", file="a/f.gguf", revision="v1")),
        ("https://h.example/f.gguf?x=1", UrlSource(url="https://h.example/f.gguf?x=1")),
    ],
)
def test_sources_as_people_write_them(text, source):
    assert read_source(text) == source
    if isinstance(source, HuggingFaceSource | UrlSource):
        assert describe(source) == text


@pytest.mark.parametrize(
    "text",
    [
        "hf:",
        "hf:o/r",
        "hf:o/r/",
        "hf:../r/f",
        "ftp://h/f",
        "file:///etc/passwd",
        "http://",
        "http://h /",
    ],
)
def test_what_is_no_source_is_refused(text):
    with pytest.raises(ConfigError):
        read_source(text)


def test_a_model_comes_from_a_hub_or_an_address(site, tmp_path, tiny):
    catalogue = Catalogue(tmp_path / "models")
    site.content = tiny.read_bytes()
    pulled = catalogue.pull_from(read_source("hf:owner/repo/Tiny.gguf"), "mine")
    assert pulled.sha256 == hashlib.sha256(site.content).hexdigest()
    assert (pulled.name, pulled.title, pulled.origin) == (
        "mine",
        "Tiny",
        "hf:owner/repo/Tiny.gguf",
    )
    by_url = catalogue.pull_from(UrlSource(url=f"{site.url}/a/Tiny.gguf?x"), sha256=pulled.sha256)
    assert by_url.name == "tiny"
    assert catalogue.pull_from(UrlSource(url=f"{site.url}/a/Tiny.gguf?x")) == by_url
    with pytest.raises(ConfigError, match="another file already"):
        catalogue.pull_from(UrlSource(url=f"{site.url}/b/Tiny.gguf"))
    with pytest.raises(FetchError, match="expected 0000"):
        catalogue.pull_from(UrlSource(url=f"{site.url}/b/x.gguf"), sha256="0" * 64)
    site.content = CONTENT
    with pytest.raises(ModelFileError, match="not a GGUF"):
        catalogue.pull_from(UrlSource(url=f"{site.url}/b/x.gguf"))
    assert sorted(path.name for path in catalogue.cache.iterdir()) == [
        "mine.gguf",
        "mine.json",
        "tiny.gguf",
        "tiny.json",
    ]
