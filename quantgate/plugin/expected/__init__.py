"""What a run is expected to give: its baseline, its known failures, and what a test says of a cell beside them."""
