"""What a person reads in a terminal: the table, the failures by cause, the lines that they are made of, and the words
for how a run was trained, which the page and the summary share.
"""
