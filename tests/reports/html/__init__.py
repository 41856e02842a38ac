"""The page of a run: as text, and in a browser."""
