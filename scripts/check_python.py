"""Refuse to set up on a machine that lacks what the build needs, in one clear line."""

import shutil
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - the very reason for this script
    sys.exit(
        f"benchpool needs Python 3.11 or newer, and this is {sys.version.split()[0]};"
        " name another one: make setup PYTHON=python3.12"
    )
if not (shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")):
    sys.exit("benchpool compiles llama.cpp, and there is no C/C++ compiler: install gcc and g++")
