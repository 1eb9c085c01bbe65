"""What follows from the log alone: replay, statement, audit, export."""
