"""A local AO network over HTTP: messenger, scheduler and compute unit, and a gateway.

Nothing here but the files that define routes imports a web framework, so that the command line
talks to a running server without one.
"""
