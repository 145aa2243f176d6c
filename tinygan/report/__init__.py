"""Looking inside: sample sheets, and the report of a training run."""
