"""Names under which pytest's own objects carry what belongs to the gate."""

from __future__ import annotations

#: Of a result record among a test's user properties.
PROPERTY = "quantgate"
#: Of the reporter among pytest's plugins.
REPORTER = "quantgate-reporter"
#: Of the run's shared folder among a worker's inputs.
FOLDER_INPUT = "quantgate_folder"
