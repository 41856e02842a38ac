"""Names under which the gate stores its data in pytest's and pytest-xdist's objects."""

from __future__ import annotations

#: The user property of a test that holds its result record, as JSON: pytest's JUnit report writes it as it is.
PROPERTY = "quantgate"
#: The plugin name of the reporter.
REPORTER = "quantgate-reporter"
#: The worker input that holds the path of the run's shared folder.
FOLDER_INPUT = "quantgate_folder"
