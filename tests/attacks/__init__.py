"""What was tried to make a run green, red, hang or lose what it found: each attack is data, and stays as a test."""
