"""Acting from pages: who may, what the forms show, and what they do."""
