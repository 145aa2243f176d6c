"""Reading an experiment strictly: its TOML file, its sections, overrides, and which settings decide its bits."""
