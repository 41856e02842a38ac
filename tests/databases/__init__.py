"""Tests of addresses, engines and failures."""
