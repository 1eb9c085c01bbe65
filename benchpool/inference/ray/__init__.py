"""Models on the nodes of a Ray cluster.

Ray itself is imported by the child process of `driver` alone: what Ray prints, its signal handlers
and its way to end a program whose cluster is lost stay there.
"""
