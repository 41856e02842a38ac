"""Probes: what is measured, and nothing of what it means.

Holds the measurements of one tensor beside its fake-quantized self, of a quantizer alone (`probes.quantizer`), of the
model that a recipe prepared, of an optimizer's update, and the watcher that takes them while a cell trains. Imports
`diagnosis` for the records of evidence, `records`, `formats` for published tables, and `training`. Read by `gate`,
`trainers` and `faults`.
"""
