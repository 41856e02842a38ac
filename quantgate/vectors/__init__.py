"""Test vectors: a built-in format as hexadecimal bits, for implementations in other languages.

Holds what makes them and what judges an implementation's answers. Imports `records`, to read a file, and `formats`,
whose codecs are the reference. Read by `cli`.
"""
