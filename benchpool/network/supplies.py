"""Supplies: what a network keeps beside its logs, for its processes to be made of and to read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchpool.ao.ids import is_id
from benchpool.errors import ConfigError
from benchpool.extensions.llama import InferenceProgress
from benchpool.network.build import Parts
from benchpool.store.shelf import (
    PACKAGES,
    AddedModule,
    AddedPackage,
    check_package_name,
    encode_fact,
    packages_of,
)


class Supplies(Parts):
    """The part of a network that takes models, modules and packages in."""

    def add_model(self, path: Path) -> str:
        """Try a GGUF file in a process of its own, then keep it as data; return its data id.

        Raises:
            InferenceError: it is no model that computes numbers; nothing is kept of it.
            OSError: it cannot be read.
        """
        self.host.backend.admit(path)
        return self.data.put_file(path)

    def add_module(
        self,
        module: Path | str | bytes,
        *,
        name: str,
        ids: Sequence[str] = (),
        compute_limit: int | None = None,
        memory_limit: int | None = None,
    ) -> AddedModule:
        """Take a WASM module of AO in, to be spawned by a name or by ids.

        The same again is harmless, and may bring further ids.

        Args:
            module: a file, the id of data that is here, or the bytes.
            name: by which it can be spawned in this network.
            ids: further ids: those that it has on AO's main network.
            compute_limit: what a message may use of fuel; None is what the limits allow.
            memory_limit: in bytes; None is what the limits allow.

        Raises:
            ConfigError: a name or id that is none or is taken by other code.
            LimitExceeded: it is too large.
            PrerequisiteError: wasmtime is not installed.
            BenchpoolError: the bytes are no module of AO.
        """
        if not isinstance(module, bytes):
            path = self.data.path(module) if isinstance(module, str) and is_id(module) else module
            self.modules.check_size(Path(path).stat().st_size)
            module = Path(path).read_bytes()
        with self._lock:
            added = self.modules.add(
                module,
                name,
                self.registry,
                ids=ids,
                compute_limit=compute_limit,
                memory_limit=memory_limit,
            )
            self.store.commit(self.timeline.now())
        return added

    def add_package(self, name: str, source: str) -> AddedPackage:
        """Keep a Lua package for processes to `require`, see `benchpool.client.lua_bundle`.

        Raises: ConfigError for a name that is none, or that another package has.
        """
        check_package_name(name)
        with self._lock:
            known = {each.name: each for each in packages_of(self.store)}
            added = AddedPackage(name, self.data.put(source.encode()))
            if known.get(name, added) != added:
                raise ConfigError(f"package {name} has another source here; take another name")
            if name not in known:
                packages = [*known.values(), added]
                self.store.set_fact(PACKAGES, encode_fact(packages))
                self.store.commit(self.timeline.now())
        return added

    def packages(self) -> list[AddedPackage]:
        """Return the packages in the order in which they were added."""
        return packages_of(self.store)

    def package(self, name: str) -> str:
        """Return the source of a package. Raises: ConfigError; DataNotFound, DataCorrupt."""
        for each in self.packages():
            if each.name == name:
                return self.data.get(each.id).decode()
        raise ConfigError(f"no package {name[:80]!r}; add it with: benchpool package add NAME FILE")

    def on_inference(self, listener: InferenceProgress) -> Callable[[], None]:
        """Tell a listener (process id, answered, asked) from any thread; return what ends that."""
        return self.host.engines.on_progress(listener)
