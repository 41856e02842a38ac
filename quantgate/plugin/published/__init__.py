"""What a run publishes when it has ended: its record, its pictures, and what GitHub shows of it."""
