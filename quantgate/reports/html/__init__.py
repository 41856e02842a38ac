"""The page: a run in one file of HTML, which asks the network for nothing; its template, style and scripts beside it."""
