"""Commands about what was trained or written elsewhere: logs of other trainers, vectors for other languages."""
