"""Scripted lifecycles: a scenario file is run and its expectations are checked."""
