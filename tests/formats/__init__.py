"""Tests of the codecs, against a slow reference and independent implementations."""
