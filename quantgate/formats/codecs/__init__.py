"""Codecs: how a tensor is scaled onto a grid, encoded and decoded, a file a way to scale.

Holds one codec for each kind of scale and the checks of what callers give. Imports the records of `formats` and its
`elements`, and torch. Read by `formats.descriptor`, when a format meets its first tensor.
"""
