"""Commands about what was trained or written elsewhere: reports of runs, logs of other trainers, vectors."""
