"""The code behind a subject: where it stands in the repository that holds it."""
