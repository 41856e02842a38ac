"""A file for each package: `PACKAGE`, `healthy()` (as shipped) and `broken()` (as users break it).

The package is imported where a subject is built, never before.
"""
