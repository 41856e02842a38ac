"""The gate: cells, controls, the matrix and known failures."""
