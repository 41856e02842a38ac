"""What a run comes to in words: the one sentence above all that is shown, and the commands that follow from it."""
