"""What collecting tests gives: the cells that they are offered, and what they register."""
