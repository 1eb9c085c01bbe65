"""The modules of a benchmark pool. Processes meet by message only: none imports another."""
