"""Kill ranks of a run at random moments, and count how often it goes on to the same bytes.

Usage: python tools/count_rank_faults.py [--kills N] [--ranks N] [--seed N] [--json]

A run on the embedded digits, with small networks, is started by ``mpiexec -n N tinygan train``. One rank, drawn at
random, is killed with SIGKILL at a random moment; the next process resumes the run, until it is complete. Then it is
compared byte for byte with a run that was not disturbed. 200 kills take about half an hour on two cores. The exit
status is 1 if a run differs, a checkpoint is lost, a message names another rank, or any process is left 30 s after a
kill. It needs Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

from tqdm import tqdm

WITHIN = 30.0  # seconds from a kill to the end of all processes
SETTINGS = [
    "training.epochs=20",  # of 10 steps
    "training.batch=139",
    "noise.size=2",
    "generator.layers.0.units=4",
    "generator.layers.2.units=4",
    "discriminator.layers.1.units=2",
    "discriminator.layers.1.pieces=2",
    "discriminator.layers.3.units=2",
    "discriminator.layers.3.pieces=2",
    "output.samples_every=10",
    "output.samples=4",
    "output.checkpoint_every=2",
    "output.validate_every=10",
    "output.validation_samples=20",
]
TIMED = ("run.lock", "timing.jsonl", "report.html")


def launcher() -> str:
    """Return the mpiexec of the wheel `mpich`, or the first on the path."""
    try:
        found = [file.locate() for file in metadata.files("mpich") or () if file.name == "mpiexec"]
    except metadata.PackageNotFoundError:
        found = []
    return str(Path(str(found[0])).resolve()) if found else shutil.which("mpiexec") or sys.exit("needs mpiexec")


def start(run: Path, ranks: int) -> subprocess.Popen[str]:
    """Start the run, or resume it."""
    words = ["train", "digits", "--out", str(run), *(word for setting in SETTINGS for word in ("--set", setting))]
    if (run / "config.toml").exists():
        words = ["resume", str(run)]
    return subprocess.Popen(
        [launcher(), "-n", str(ranks), sys.executable, "-m", "tinygan", *words, "--quiet"],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def ranks_of(process: subprocess.Popen[str]) -> list[int]:
    """Return the process ids of the ranks: the children of the child of the launcher, in their order."""
    found = [process.pid]
    for _ in range(2):
        lists = [Path(f"/proc/{parent}/task/{parent}/children").read_text().split() for parent in found]
        found = [int(child) for children in lists for child in children]
    return found


def is_alive(process: int) -> bool:
    """Return whether a process is there, and not only its exit status."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def content(run: Path) -> dict[str, bytes]:
    """Return every file of a run by its relative name, except those that contain times or a process id."""
    files = (file for file in run.rglob("*") if file.is_file() and file.name not in TIMED)
    return {str(file.relative_to(run)): file.read_bytes() for file in files}


def newest(run: Path) -> int:
    """Return the step of the newest checkpoint by its name, or 0."""
    return max((int(path.stem.split("-")[1]) for path in run.glob("checkpoints/step-*.safetensors")), default=0)


def main(arguments: list[str] | None = None) -> int:
    """Kill, resume and compare; print the table, and return 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="number of kills (default: 200)")
    parser.add_argument("--ranks", type=int, default=2, help="number of ranks (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the ranks and the moments (default: 0)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    draw = random.Random(options.seed)
    count = {"made": 0, "survived": 0, "lost": 0, "named": 0, "misnamed": 0, "left": 0, "slowest_end": 0.0}
    with tempfile.TemporaryDirectory() as folder, tqdm(total=options.kills, leave=False, disable=None) as bar:
        whole, run, began = Path(folder, "whole"), Path(folder, "run"), time.monotonic()
        process = start(whole, options.ranks)
        said = process.communicate()[1]
        assert (process.returncode, said) == (0, "")
        life, expected, since = time.monotonic() - began, content(whole), 0
        while count["made"] < options.kills or since:
            process = start(run, options.ranks)
            ids: list[int] = []
            if count["made"] < options.kills:
                time.sleep(draw.uniform(0.05, 0.8 * life))
                ids = ranks_of(process) if process.poll() is None else []
            victim = draw.randrange(options.ranks)
            if len(ids) == options.ranks:  # else the run has ended, or the last kill was made
                before, killed_at = newest(run), time.monotonic()
                os.kill(ids[victim], signal.SIGKILL)
                said = process.communicate(timeout=WITHIN)[1]
                count["made"], since = count["made"] + 1, since + 1
                count["lost"] += newest(run) < before
                named = f"rank {victim} of {options.ranks} (process {ids[victim]} " in said
                count["named"] += named
                count["misnamed"] += " (process " in said and not named  # several names: one of these was killed
                while (left := any(map(is_alive, ids))) and time.monotonic() < killed_at + WITHIN:
                    time.sleep(0.01)
                count["slowest_end"] = max(count["slowest_end"], round(time.monotonic() - killed_at, 2))
                count["left"] += left
                bar.update()
                continue
            said = process.communicate()[1]
            if process.returncode == 0:
                found = content(run)
                names = sorted(n for n in found.keys() | expected.keys() if found.get(n) != expected.get(n))
                if names:
                    print(f"different files: {names}", file=sys.stderr)
                count["survived"] += 0 if names else since
                since = 0
                shutil.rmtree(run)
            else:
                print(f"a resumed run ended with {process.returncode}: {said}", file=sys.stderr)
                return 1
    if options.json:
        print(json.dumps(count))
    else:
        print("| fault | made | survived | checkpoints lost | the message named the rank | slowest end |")
        print("|---|---:|---:|---:|---:|---:|")
        print(
            f"| SIGKILL of a random rank of {options.ranks} | {count['made']} | {count['survived']} | {count['lost']} "
            f"| {count['named']} | {count['slowest_end']} s |"
        )
    return int(count["survived"] != count["made"] or any(count[name] for name in ("lost", "left", "misnamed")))


if __name__ == "__main__":
    sys.exit(main())
