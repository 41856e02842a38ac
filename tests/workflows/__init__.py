"""The workflows' own commands, run as a runner would, with stand-ins for what a runner has and a test has not."""
