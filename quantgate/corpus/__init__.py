"""The text that cells are trained and scored on.

Holds the generator of the `builtin` corpus with its words, the download of tiny shakespeare, the checks of a user's own
text, and the corpus as tensors. Imports no other layer; only `corpus.tensors` needs torch. Read by `training`,
`gate`, `trainers` and `plugin`.
"""

from quantgate.corpus.errors import CorpusError
from quantgate.corpus.fetch import TINYSHAKESPEARE, Remote
from quantgate.corpus.text import KEYWORDS, MAX_BYTES, MIN_BYTES, Corpus, load

__all__ = ["KEYWORDS", "MAX_BYTES", "MIN_BYTES", "TINYSHAKESPEARE", "Corpus", "CorpusError", "Remote", "load"]
