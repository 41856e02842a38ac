"""The corpus: its text, and where it is fetched from."""
