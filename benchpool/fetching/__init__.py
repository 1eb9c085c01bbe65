"""Bringing files from where they are published: packages, hubs, addresses and paths."""
