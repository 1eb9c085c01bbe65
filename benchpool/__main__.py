"""`python -m benchpool` is the `benchpool` command."""

from __future__ import annotations

from benchpool.cli import main

main()
