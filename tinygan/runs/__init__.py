"""What a run is on disk, whatever was trained: files that a kill at any moment leaves whole.

`run_folder` keeps everything together; `checkpoint` is one file, and the folder of the last two and the best;
`safetensors_file` is a file of arrays with a checksum; `json_lines` are records that can be cut back to an epoch;
`atomic` writes all or nothing, `lock` keeps a second process out, `plain_files` refuses links and pipes, `environment`
describes the machine. Nothing here knows networks or games.
"""
