"""What a run leaves behind: readers of results, without torch."""
