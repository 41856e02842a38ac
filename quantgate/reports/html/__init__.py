"""The page: a run in one file of HTML, which asks the network for nothing; its template, style, scripts beside it."""
