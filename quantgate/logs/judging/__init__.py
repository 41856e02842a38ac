"""What is made of the stretches: verdicts on curves, a fleet beside its controls, the records of a run. Pure."""
