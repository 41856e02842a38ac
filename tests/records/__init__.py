"""The records: verdicts and results."""
