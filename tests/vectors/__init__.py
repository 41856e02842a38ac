"""Vectors: what they hold, and programs in other languages that answer them."""
