"""The faults: the library, its power table, the incident."""
