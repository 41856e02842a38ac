"""One seeded training: model, fake quantization, optimizers, trainer."""
