"""The plugin as its users meet it: whole pytest runs in folders of their own."""
