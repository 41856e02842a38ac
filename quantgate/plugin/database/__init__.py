"""The door to the database of the history: its address is hidden from the workers, and the run recorded at its end."""
