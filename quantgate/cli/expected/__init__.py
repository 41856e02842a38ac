"""Commands about what a run is expected to give: baselines and known failures."""
