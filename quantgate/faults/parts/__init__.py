"""What the faults of the library are made of: quantizers, backward passes, recipes and optimizers with a slip each."""
