"""The dashboard: pages for people under /ui/, and the same views as JSON."""
