"""Bundles: a Lua source and what it requires, as one text."""

from pathlib import Path

import pytest

from benchpool.client.lua_bundle import as_module, bundle, required
from benchpool.errors import ConfigError


def files(folder: Path, **sources: str) -> Path:
    for name, source in sources.items():
        path = folder / f"{name.replace('__', '/')}.lua"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return folder / "main.lua"


def test_what_a_file_requires_comes_before_it_and_once(tmp_path: Path) -> None:
    main = files(
        tmp_path,
        main='local a = require("lib.a")\nlocal b = require "b"\nreturn a + b',
        lib__a="local b = require('b')\nreturn b + 1",
        b="return 1 -- no newline",
    )
    text = bundle(main)
    assert text.index("return 1 --") < text.index("return b + 1") < text.index("return a + b")
    assert text.count("return 1 -- no newline\n") == 1
    assert text.count('package.loaded["lib.a"] = ') == 1
    assert text.endswith("return a + b")


def test_names_that_are_no_files_are_left_to_the_process(tmp_path: Path) -> None:
    main = files(tmp_path, main='local json = require("json")\nrequire("@sam/Llama-Herder")')
    assert bundle(main) == main.read_text()


@pytest.mark.parametrize("name", ["../secret", "/etc/secret", "..secret", "....secret"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.lua").write_text("return 'secret'")
    main = files(tmp_path / "inside", main=f'require("{name}")')
    assert bundle(main) == main.read_text()


def test_required_reads_lua() -> None:
    source = """
    -- require("comment")
    --[==[ require("long comment") ]] ]==]
    local text = 'require("text")' .. [[ require("long text") ]]
    myrequire("mine")
    require"plain" require('single') require [[long]]
    require(variable)
    """
    assert list(required(source)) == ["plain", "single", "long"]


def test_a_circle_is_named(tmp_path: Path) -> None:
    main = files(tmp_path, main='require("a")', a='require("b")', b='require("a")')
    with pytest.raises(ConfigError, match=r"in a circle: a -> b -> a"):
        bundle(main)
    main = files(tmp_path, main='require("main")')
    with pytest.raises(ConfigError, match="circle"):
        bundle(main)
    main = files(tmp_path, main='require("a")', a='require("main")')
    with pytest.raises(ConfigError, match="circle"):
        bundle(main)


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.lua cannot be read: No such file"):
        bundle(tmp_path / "none.lua")
    (tmp_path / "bad.lua").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"bad.lua cannot be read: it is no UTF-8 text"):
        bundle(tmp_path / "bad.lua")


def test_a_deep_chain_of_files_ends_in_one_sentence(tmp_path: Path) -> None:
    for number in range(1_100):
        (tmp_path / f"f{number}.lua").write_text(f'require("f{number + 1}")')
    with pytest.raises(ConfigError, match="files"):
        bundle(tmp_path / "f0.lua")


def test_a_name_is_quoted() -> None:
    assert 'package.loaded["a\\"b"]' in as_module('a"b', "return 1")
