"""The parts of routers and workers: who works, and what is asked of them."""
