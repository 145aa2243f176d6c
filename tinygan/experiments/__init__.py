"""The paper's configurations as TOML files, and what it takes to run one.

`config` reads an experiment strictly; `build` makes networks of it; `training` advances it step by step in memory;
`running` does so in a run folder, with records, pictures and checkpoints that survive a kill.
"""
