"""Model files: their headers, where they come from, and how their weights are changed."""
