"""From numbers to a cause.

Holds the evidence that probes measure and what each of its numbers means, the causes that can be named, the rules that
lead from one to the other as records in tables, and the function that runs them. Imports the standard library alone; no
tensors. Read by `records`, `subjects`, `probes`, `plan`, `gate`, `trainers`, `faults`, `reports` and `cli`.
"""
