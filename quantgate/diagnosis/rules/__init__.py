"""The rules as records, a file a kind of measurement; `diagnose` puts them in order."""
