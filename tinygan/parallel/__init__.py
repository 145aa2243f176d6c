"""One training on several processes, the *ranks*, of one machine or of many; see ``docs/parallel.md``.

Algorithm 1 does not know of it, and a run of one process imports nothing from here but `world.current`.
"""
