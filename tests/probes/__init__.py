"""The probes: what is measured of a quantizer."""
