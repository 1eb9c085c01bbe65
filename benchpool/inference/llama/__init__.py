"""llama.cpp: the only package that loads it. Everything here runs in a child process."""
