"""Faults: how a module's call ends but by returning."""

from __future__ import annotations

from benchpool.errors import HandlerError


class Trapped(HandlerError):
    """The module was ended in the middle: its machine is to be given up."""


class FuelSpent(Trapped):
    """The module used up its fuel."""
