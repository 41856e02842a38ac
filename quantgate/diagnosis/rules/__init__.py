"""The rules of the diagnosis, by what they look at; each is a pure function from evidence to a finding."""
