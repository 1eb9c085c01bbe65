"""Set up a home for pools, as `benchpool init` does, which takes the same options.

python scripts/spawn.py
benchpool send --target WrappedAR --action Info
"""

from __future__ import annotations

import sys

from benchpool.cli import app

if __name__ == "__main__":
    app(["init", *sys.argv[1:]], prog_name="benchpool")
