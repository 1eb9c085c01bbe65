"""Models that a server runs: what is known of them, and which of them may be asked.

A remote model is data like any other: a small JSON file that names an address and a model, whose id
is its hash. Data may come from anybody, so the file opens nothing by itself. Asked are only the
servers on the list of this machine's user, to which `benchpool model add` writes and no message
does; there too stands in which environment variable the key is. A random salt in the file sees to
it that nobody can make up the data of another one's list.
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from benchpool.errors import ConfigError, InferenceError
from benchpool.fetching.cache import staging
from benchpool.inference.engine import ModelCard, Runtime

SCHEME: Final = "openai+"
"""What stands before the address of a server that speaks OpenAI's protocol."""
MAX_TOKENS_TOTAL: Final = 10_000_000
MARK: Final = b'{"benchpool":"model server"'
_MOST_BYTES: Final = 4096
_DESCRIBED: Final = ".server.json"
_TERMS: Final = ".server-terms.json"
_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]{0,99}")
_KEY: Final = re.compile(r"[\x21-\x7e]{1,1000}")


class RemoteModel(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag_field="benchpool",
    tag="model server",
):
    """The data of a remote model."""

    url: str
    """Such as http://127.0.0.1:8080/v1, without anything secret."""
    model: str
    """What the server calls it."""
    salt: str

    @property
    def data(self) -> bytes:
        """The file."""
        return msgspec.json.encode(self)

    @property
    def sha256(self) -> str:
        """Of the file, in hexadecimal digits."""
        return sha256(self.data).hexdigest()


class RemoteTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How this machine's user lets a server be asked, and what it was found to be able to do."""

    key_variable: str = ""
    """The environment variable that holds the key; empty for none."""
    max_tokens_total: int = MAX_TOKENS_TOTAL
    """Tokens, of prompts and of answers, that all asking may ever take; 0 is without end."""
    concurrency: int = 4
    """Requests at a time."""
    timeout_s: float = 120.0
    """For one request."""
    raw: bool = False
    """Whether it goes on from a prompt as it is."""
    chat: bool = False
    choices: bool = False
    """Whether it scores choices, proved by a probe of known answers."""
    why_no_choices: str = ""


class Listed(msgspec.Struct, frozen=True):
    """A remote model on the list."""

    name: str
    """On this machine."""
    described: RemoteModel
    terms: RemoteTerms

    @property
    def card(self) -> ModelCard:
        """What can be said of a model that nobody can look into."""
        return ModelCard(
            name=self.name,
            architecture="model server",
            parameters=0,
            quantization="unknown",
            context_tokens=0,
            layers=0,
            vocabulary=0,
            tokenizer="unknown",
            size_bytes=len(self.described.data),
            sha256=self.described.sha256,
        )

    @property
    def runtime(self) -> Runtime:
        """What says in every log that the answers are a server's, and not reproducible."""
        return Runtime(
            build=f"model server {self.described.url} ({self.described.model}), not reproducible",
            cpu="unknown",
            precision="stored",
            layout="remote-choices" if self.terms.choices else "remote-text",
        )

    def key(self) -> str:
        """Return the key; empty if there is none.

        Raises:
            InferenceError: The variable is not set, or holds what is no key.
        """
        variable = self.terms.key_variable
        if not variable:
            return ""
        key = os.environ.get(variable, "").strip()
        if not _KEY.fullmatch(key):
            state = "holds what cannot be a key" if key else "is not set"
            raise InferenceError(
                f"{self.name}: the environment variable {variable} {state}; it must hold the key"
                f" of {self.described.url}"
            )
        return key


def describe_server(address: str, model: str, *, salt: str | None = None) -> RemoteModel:
    """Make the description of a remote model.

    Args:
        address: Such as openai+http://127.0.0.1:8080/v1.
        model: What the server calls it.
        salt: Of the description; None for a random one.

    Raises:
        ConfigError: No address of a server, or one with something secret in it.
    """
    url = address.removeprefix(SCHEME).rstrip("/")
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    # What may be wrong with it may hold a password: it is not repeated.
    form = "write it like openai+http://127.0.0.1:8080/v1"
    if not usable or not address.startswith(SCHEME) or parts.scheme not in ("http", "https"):
        raise ConfigError(f"this is no address of a model server; {form}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(
            "the address of a model server becomes data that others read, so it holds no user, key"
            f" or query; {form}, and name the key's environment variable with --key-from"
        )
    if not re.fullmatch(r"[\x21-\x7e]{1,1000}", url):
        raise ConfigError(f"the address has characters that no address has; {form}")
    if not model.strip() or len(model) > 500:
        raise ConfigError("--model names the server's model, in at most 500 characters")
    return RemoteModel(url, model, secrets.token_hex(16) if salt is None else salt)


def check_terms(described: RemoteModel, terms: RemoteTerms) -> None:
    """Check what somebody asked for. Raises: ConfigError."""
    if terms.key_variable:
        if not _VARIABLE.fullmatch(terms.key_variable):
            raise ConfigError(
                "--key-from takes the name of an environment variable, in capitals, not the key"
            )
        parts = urlsplit(described.url)
        if parts.scheme == "http" and not _is_here(parts):
            raise ConfigError(
                f"a key goes to another machine by https only, and {described.url} is http"
            )
    if terms.concurrency < 1 or terms.timeout_s <= 0 or terms.max_tokens_total < 0:
        raise ConfigError("concurrency and timeout are above zero, and no bound is below")


def _is_here(parts: SplitResult) -> bool:
    host = parts.hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_description(path: Path) -> RemoteModel | None:
    """Read the data of a remote model; None if a file is none, such as a GGUF file.

    Raises:
        InferenceError: It begins like one, and is none.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(len(MARK))
            if raw != MARK:
                return None
            raw += file.read(_MOST_BYTES)
        return msgspec.json.decode(raw, type=RemoteModel)
    except OSError as error:
        raise InferenceError(f"{path} cannot be read: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InferenceError(f"{path}: not the data of a remote model: {error}") from None


class ServerList:
    """The model servers that this machine's user added, in the folder of its models."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, name: str) -> Path:
        """Return where the data of a remote model of this name is, or would be."""
        return self.folder / f"{name}{_DESCRIBED}"

    def keep(self, listed: Listed) -> Path:
        """Write one to the list, in place of what had its name; return the file of its data."""
        target = self.path(listed.name)
        with staging(self.folder) as folder:
            data, terms = folder / "data", folder / "terms"
            data.write_bytes(listed.described.data)
            terms.write_bytes(msgspec.json.format(msgspec.json.encode(listed.terms)))
            terms.replace(self.folder / f"{listed.name}{_TERMS}")
            data.replace(target)
        return target

    def remove(self, name: str) -> None:
        """Take one off the list."""
        self.path(name).unlink(missing_ok=True)
        (self.folder / f"{name}{_TERMS}").unlink(missing_ok=True)

    def find(self, path: Path, described: RemoteModel) -> Listed:
        """Find what some data describes. Raises: InferenceError if it is not on the list."""
        try:
            for listed in self:
                if listed.described == described:
                    return listed
        except ConfigError as error:
            raise InferenceError(str(error)) from None
        raise InferenceError(
            f"{path.name[:60]}: this data names a model server that the user of this machine has"
            " not added, so it is not asked; see: benchpool model add openai+URL --model NAME"
        )

    def __iter__(self) -> Iterator[Listed]:
        """Go through the list by name. Raises: ConfigError if a file of it is damaged."""
        for path in sorted(self.folder.glob(f"*{_DESCRIBED}")):
            yield self.read(path.name.removesuffix(_DESCRIBED))

    def read(self, name: str) -> Listed:
        """Read one of the list. Raises: ConfigError if it is damaged."""
        path = self.path(name)
        try:
            described = read_description(path)
            raw = (self.folder / f"{name}{_TERMS}").read_bytes()
            terms = msgspec.json.decode(raw, type=RemoteTerms)
        except (OSError, InferenceError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: {error}; remove it, and add the server again") from None
        if described is None:
            raise ConfigError(f"{path} is damaged; remove it, and add the server again")
        return Listed(name, described, terms)
