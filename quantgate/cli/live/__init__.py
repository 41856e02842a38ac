"""What a long command shows while it works."""
