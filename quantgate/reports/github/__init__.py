"""What GitHub shows of a run: the step summary in its Markdown, and annotations as its workflow commands."""
