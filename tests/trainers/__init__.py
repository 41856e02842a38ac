"""Tests of the layer `trainers`."""
