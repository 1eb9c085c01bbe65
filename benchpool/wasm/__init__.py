"""Runs AO's process modules: WebAssembly that takes a message as JSON and answers with JSON."""
