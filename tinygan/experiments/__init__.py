"""The experiments of the paper as TOML files, and the code that runs one.

`tinygan.config` reads an experiment. `build` makes its networks, `training` trains them step by step in memory, and
`running` does this in a run folder, with records, pictures and checkpoints. `protocol` computes the number of Table 1.
"""
