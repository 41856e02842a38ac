"""Elements: grids of values at scale 1, a file a kind of grid.

Holds the kernels that round to, encode and decode minifloats, integers, posits and codebooks. Imports the records of
`formats.layout`, and torch. Read by `formats.codecs`.
"""
