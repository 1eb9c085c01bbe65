"""A noun whose commands have a usual one, which need not be named."""

from __future__ import annotations

from typing import Any, ClassVar

import typer.core


class WithDefault(typer.core.TyperGroup):
    """Commands, of which one takes what names no other one as its arguments."""

    default: ClassVar[str]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read a command line. While a shell completes one, nothing is filled in."""
        known = {*self.commands, *ctx.help_option_names}
        if known.isdisjoint(args[:1]) and (args or not ctx.resilient_parsing):
            args = [self.default, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Offer the commands, and what the usual one takes first."""
        first = self.commands[self.default].params[0]
        return [*super().shell_complete(ctx, incomplete), *first.shell_complete(ctx, incomplete)]
