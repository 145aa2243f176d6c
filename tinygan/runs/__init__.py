"""What a run is on disk, whatever was trained: files that a kill at any moment leaves whole.

`run_folder` keeps everything together; `checkpoint` is one file that cannot lie, `checkpoint_folder` the last two and
the best of them; `json_lines` are records that can be cut back to a checkpoint; `atomic` writes all or nothing, `lock`
keeps a second process out, `environment` describes the machine. Nothing here knows of networks or games.
"""
