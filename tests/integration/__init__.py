"""Real packages, as shipped and as users break them: what the gate says of other people's quantizers.

`packages` has a file for each package, `library.REAL` is all of it for `quantgate power --libraries
tests.integration.library:REAL`, and `test_real_packages` judges each subject. What a missing package would
have brought is skipped with its name. Nothing heavy is imported before a subject is trained.
"""
