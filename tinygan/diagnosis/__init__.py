"""Verdicts on a game: what is measured, what the numbers mean, and what to try.

`measures` turns a game into numbers, `rules` turns numbers into verdicts, and `diary` keeps the records of a run.
"""

from tinygan.diagnosis.diary import Diary
from tinygan.diagnosis.headline import closing_line, headline, titles_of
from tinygan.diagnosis.measures import dataset_measures, epoch_measures, game_measures, jsd_bound
from tinygan.diagnosis.rules import RULES, Verdict, judge

__all__ = [
    "RULES",
    "Diary",
    "Verdict",
    "closing_line",
    "dataset_measures",
    "epoch_measures",
    "game_measures",
    "headline",
    "jsd_bound",
    "judge",
    "titles_of",
]
