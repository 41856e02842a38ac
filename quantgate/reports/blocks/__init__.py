"""What a person reads in a terminal: the table, the failures by cause, and the lines that they are made of."""
