"""How entries are ranked and funds divided: pure functions of scores and funds, no AO."""
