"""The probes of a quantizer alone, a file a question; no model and no training.

Holds the contract, the scale, the gradient, where it rounds, and the state that it keeps; `examine` asks them all.
"""
