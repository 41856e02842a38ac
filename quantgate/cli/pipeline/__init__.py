"""Commands for a CI pipeline: what it will run, its parts put together, and the files that it begins with."""
