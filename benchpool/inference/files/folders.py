"""Where this machine keeps models; whatever a child makes of them lies beside.

A module of its own, which imports little: every child that runs a model asks it.
"""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_dir

CACHE_VARIABLE = "BENCHPOOL_MODELS"


def default_cache() -> Path:
    """The folder of cached models: ``$BENCHPOOL_MODELS``, or the user's cache folder."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else Path(user_cache_dir("benchpool")) / "models"
