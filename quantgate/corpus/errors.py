"""The one error of the corpus."""


class CorpusError(ValueError):
    """A corpus that cannot be used: what was seen, the limit, the likely cause and the next step."""
