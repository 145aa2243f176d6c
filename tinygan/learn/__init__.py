"""Exercises: a reader writes forward and backward passes and steps of the game, and finds planted bugs.

`exercise` says what an exercise is; `passes` and `games` have them. `process` runs a reader's file in a process of its
own, in which `answering` calls the functions. `judging` compares what they return with what tinygan computes, and finds
the kind of a mistake. `progress` remembers what is passed.
"""
