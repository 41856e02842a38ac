"""Databases, whatever is kept in them: where one is, how it is opened, and why it failed, said without its address.

Addresses hold passwords and name machines that are nobody's business, so that they are found, and failures put into
words, in this folder alone. SQLAlchemy and the drivers are loaded when a database is asked for. Imports no other layer.
Read by `logs`, `history` and `cli`.
"""
