"""The probes of a model that a recipe prepared: what its layers compute with, and how their quantizers round."""
