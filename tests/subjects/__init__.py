"""The subjects: formats, recipes and optimizers, by name or path."""
