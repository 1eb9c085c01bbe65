"""The parts of the Benchmark process: pools, joining, payments."""
