"""Reports: one page, one picture or one table that can be handed to somebody without a network."""
