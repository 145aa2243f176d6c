"""README.md, docs/ and benchmarks/README.md: every command runs, as typed or shorter, and every link has a target."""

from __future__ import annotations

import gzip
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from tinygan.cli import build_parser

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks" / "README.md"]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")

# Commands that are too long for a test as they are typed: the reason, and the words that make them shorter. A later
# option replaces an earlier one.
SHORTER = {
    "tinygan train digits": ("35 s; .ci/run runs it", "--epochs 2"),
    "tinygan train digits --seed 7 --out my-run": ("35 s", "--epochs 2"),
    "tinygan train digits --set training.k=2 --set generator.optimizer.lr=0.05": ("50 s", "--epochs 2"),
    "tinygan train digits --images my-images": ("30 s", "--epochs 1"),
    "tinygan train digits --images my-images --set data.size=16": ("30 s", "--epochs 1"),
    "tinygan train digits --array my-images.npy": ("30 s", "--epochs 1"),
    "tinygan train digits --set training.objective=hinge "
    "--set \"training.penalty={ kind = 'r1', weight = 1.0 }\"": ("60 s", "--epochs 2"),
    "tinygan train digits --set training.packing=4 --set training.label_smoothing=0.1": ("35 s", "--epochs 2"),
    "tinygan train digits --set training.instance_noise=0.3 --set training.instance_noise_steps=3000": (
        "40 s",
        "--epochs 2",
    ),
    "tinygan train digits-conditional": ("60 s", "--epochs 1"),
    "tinygan train digits --set training.classes=10": ("35 s", "--epochs 1"),
    "tinygan evaluate runs/digits-conditional --all --samples 1000": ("10 s", "--samples 50"),
    "tinygan train dcgan-digits": ("27 s", "--epochs 1"),
    "tinygan train dcgan-digits --images my-images --set data.size=8 --set data.colour=false": ("10 s", "--epochs 1"),
    "tinygan train dcgan-mnist --data DIR": ("minutes", "--steps 1"),
    "tinygan train dcgan-mnist --data DIR --epochs 6": ("minutes", "--steps 1"),
    "tinygan train gaussian": ("7 s", "--epochs 1"),
    'tinygan train digits --set "data.range=[-1, 1]" --set "generator.layers=[{type=\'linear\', units=256}, '
    "{type='relu'}, {type='linear', units=64}, {type='tanh'}]\"": ("30 s", "--epochs 1"),
    "tinygan train my-experiment.toml": ("35 s", "--epochs 2"),
    "tinygan train mnist --data DIR --epochs 10": ("minutes", "--steps 1"),
    "tinygan train mnist-averaged --data DIR": ("hours", "--steps 1"),
    "tinygan train mnist-algorithm1 --data DIR": ("hours", "--steps 1"),
    "tinygan train mnist --data DIR --epochs 266 --set generator.optimizer.lr_milestone=130000 "
    "--set generator.optimizer.lr_gamma=0.1": ("hours", "--steps 1"),
    "tinygan train digits --device cuda": ("needs a GPU", "--device cpu --epochs 1"),
    "tinygan train digits --device cuda --eager": ("needs a GPU", "--device cpu --epochs 1"),
    "tinygan train digits --backend numba": ("30 s", "--epochs 1"),
    "tinygan resume runs/digits --epochs 600": ("35 s", "--epochs 3"),
    "tinygan gradcheck": ("10 s", "exp"),
    "tinygan sweep examples/sweeps/learning_rate.toml --jobs 2": ("2 minutes", "--dry-run"),
    "python examples/section_4.py": ("2 s", "--pairs 20"),
    "python examples/proposition_2.py": ("2 s", "--points 21"),
    "python examples/toys_2d.py --seeds 5": ("5 minutes", "--seeds 1 --steps 2 --jobs 1"),
    "python examples/losses.py --dataset digits": ("2 minutes", "--steps 2"),
    "python examples/conditional.py --dataset digits": ("1 minute", "--epochs 1"),
    "python examples/conditional.py --dataset digits --setting all": ("9 minutes", "--setting sgd --epochs 1"),
    "python examples/inference.py --data DIR": ("13 minutes", "--dataset digits --epochs 1 --seeds 1"),
    "python examples/inpainting.py": ("1 minute", "--epochs 1"),
    "python examples/semi_supervised.py --data DIR": ("half an hour", "--dataset digits --epochs 1 --seeds 1"),
    "python examples/coordination.py": ("more than an hour", "--iterations 1 --seeds 1"),
    "python examples/coordination.py --rows plain packed-4 --published --seeds 1": ("hours", "--iterations 1"),
    "python examples/figure_2.py": ("41 s", "--steps 2"),
    "python examples/figure_3.py": ("41 s", "--steps 2"),
    "python examples/dcgan_latent_space.py": ("27 s", "--steps 22"),
    "python -m benchmarks sweep --device cpu": ("minutes", "--seconds 0.001 --batches 2 --widths 8"),
    "python -m benchmarks kernels": ("half a minute", "--seconds 0.001 --rows 2 --no-costs"),
    "python tools/count_faults.py": ("15 minutes", "--only steps --every 25"),
}

# Commands that are tested in another way: the reason, and the test or file that does it.
_TABLE_1 = "tests/examples/test_table_1.py::test_from_the_data_to_the_row"
_TFD = "tests/examples/test_table_1_tfd.py::test_from_the_file_to_the_row"
_CIFAR_10 = "tests/cli/test_train.py::test_cifar10_from_its_files_to_every_command"
_GPU = "tests/test_gpu_checks.py"
_RANKS = "tests/parallel/test_training.py::test_processes_under_mpi_reach_the_weights_of_one"
_RUNS = "tests/parallel/test_runs.py::test_a_run_goes_on_with_another_number_of_ranks"
_MAIN = "tests/benchmarks/test_main.py"
_PARALLEL = "tests/benchmarks/test_parallel.py::test_two_processes_beside_two_threads"
_LOSSES = "tests/examples/test_losses.py::test_a_row_for_each_loss"
_LESSONS = "tests/examples/lessons/test_lessons.py::test_it_runs_and_draws"
_COMPLETION = ("writes into the home folder", "tests/cli/test_completion.py")
_TEACHING = "tests/test_teaching.py"
_ON_A_GPU = "python examples/table_1.py --data DIR --device cuda --seeds 1 2 3 --jobs 3"
_EVERY_50 = "--set output.checkpoint_every=50 --set output.samples_every=50"
ELSEWHERE = {
    "mpiexec -n 3 tinygan sweep examples/sweeps/learning_rate.toml": (
        "needs MPI",
        "tests/parallel/test_jobs.py::test_under_mpiexec_each_rank_runs_jobs",
    ),
    "python3 -m venv .venv && . .venv/bin/activate && pip install -q .": ("needs a package index", ".ci/run"),
    "python3 -m venv .venv && . .venv/bin/activate && pip install -q -e '.[test]' && python -m pytest -q -n auto": (
        "this suite",
        ".ci/run",
    ),
    "pip install '.[cuda13]'": ("needs a package index", "tests/test_pages.py::test_extras_in_the_pages_exist"),
    "pip wheel -q . --wheel-dir wheels": ("needs a package index", _TEACHING),
    "python3 -m venv .venv && . .venv/bin/activate && pip install -q --no-index --find-links wheels tinygan": (
        "needs the folder of wheels",
        _TEACHING,
    ),
    'for file in class/*/01_linear.py; do tinygan learn check "$file" --json >> marks.jsonl; echo "$file $?"; done': (
        "needs the files of a class",
        f"{_TEACHING}::test_the_command_that_marks_a_class",
    ),
    "pip install '.[fast]'": ("needs a package index", "tests/test_pages.py::test_extras_in_the_pages_exist"),
    "pip install '.[mpi]'": ("needs a package index", "tests/test_pages.py::test_extras_in_the_pages_exist"),
    "mpiexec -n 2 tinygan train digits": ("needs MPI", _RANKS),
    "mpiexec -n 2 python -m tinygan train digits": ("needs MPI", _RANKS),
    "mpiexec -n 2 tinygan train digits --out runs/two": ("needs MPI", _RUNS),
    "mpiexec -n 3 tinygan resume runs/two --epochs 400": ("needs MPI", _RUNS),
    "tinygan resume runs/two --epochs 500": ("needs MPI", _RUNS),
    "python tools/count_rank_faults.py": (
        "needs MPI and half an hour",
        "tests/tools/test_count_rank_faults.py::test_a_few_kills",
    ),
    "mpiexec -n 2 python -m tools.compare_ranks": ("needs MPI", _RANKS),
    "mpiexec -n 4 tinygan train mnist --data DIR --device cuda": ("needs MPI and GPUs", _RANKS),
    "pip install '.[completion]'": ("needs a package index", "tests/test_pages.py::test_extras_in_the_pages_exist"),
    "mkdir -p ~/.local/share/bash-completion/completions ~/.zfunc ~/.config/fish/completions": _COMPLETION,
    "tinygan completion bash > ~/.local/share/bash-completion/completions/tinygan": _COMPLETION,
    "tinygan completion zsh > ~/.zfunc/_tinygan": _COMPLETION,
    "tinygan completion fish > ~/.config/fish/completions/tinygan.fish": _COMPLETION,
    "tinygan train cifar10-fc --data DIR": ("needs a GPU, and 3 GB of memory", _CIFAR_10),
    "tinygan train cifar10-fc --data DIR --device cuda": ("needs a GPU, and 3 GB of memory", _CIFAR_10),
    "tinygan train cifar10-conv --data DIR": ("needs a GPU, and 2.4 GB of memory", _CIFAR_10),
    "tinygan train dcgan-cifar10 --data DIR": ("hours, and files of CIFAR-10", _CIFAR_10),
    "tinygan train tfd --data DIR": ("needs a GPU, and data that are not public", _TFD),
    "tinygan train tfd-finetune --data DIR": ("needs a GPU, and data that are not public", _TFD),
    "python examples/table_1_tfd.py --data DIR": ("needs a GPU, and data that are not public", _TFD),
    "python examples/table_1_tfd.py --data DIR --device cuda": ("needs a GPU, and data that are not public", _TFD),
    "python examples/table_1.py --data DIR": ("hours", _TABLE_1),
    "python examples/table_1.py --data DIR --experiment mnist-averaged": ("hours", _TABLE_1),
    "python examples/table_1.py --data DIR --experiment mnist-algorithm1": ("hours", _TABLE_1),
    f"{_ON_A_GPU} {_EVERY_50}": ("needs a GPU", _TABLE_1),
    f"{_ON_A_GPU} --experiment mnist-averaged {_EVERY_50}": ("needs a GPU", _TABLE_1),
    f"{_ON_A_GPU} --experiment mnist-algorithm1 {_EVERY_50}": ("needs a GPU", _TABLE_1),
    "tinygan report runs/digits runs/digits-2 --out two.html": (
        "needs two runs",
        "tests/cli/test_report.py::test_two_runs_on_one_page",
    ),
    "python examples/lessons/01_slope.py": ("2 s", _LESSONS),
    "python examples/lessons/02_broadcasting.py": ("2 s", _LESSONS),
    "python examples/lessons/03_layer.py": ("2 s", _LESSONS),
    "python examples/lessons/04_dropout.py": ("2 s", _LESSONS),
    "python examples/lessons/05_logits.py": ("2 s", _LESSONS),
    "python examples/lessons/06_momentum.py": ("2 s", _LESSONS),
    "python examples/lessons/07_game.py": ("3 s", _LESSONS),
    "python examples/lessons/08_optimum.py": ("3 s", _LESSONS),
    "python examples/lessons/09_collapse.py": ("7 s", _LESSONS),
    "python examples/lessons/10_digits.py": ("11 s", _LESSONS),
    "tinygan learn check learn/01_linear.py": (
        "a reader fills the file in",
        "tests/cli/test_learn.py::test_from_the_start_to_the_next_exercise",
    ),
    "python examples/figure_1.py": ("8 s", "tests/examples/test_figure_1.py::test_pictures_page_and_gif_are_written"),
    "python examples/losses.py --dataset ring": ("2 minutes", _LOSSES),
    "python examples/losses.py --dataset grid": ("4 minutes", _LOSSES),
    "python examples/losses.py --dataset digits --seeds 3": ("5 minutes", _LOSSES),
    "python examples/inference.py --data DIR --method bigan --penalty 0": (
        "9 minutes",
        "tests/examples/test_inference.py::test_the_table_has_a_row_for_each_encoder",
    ),
    "python examples/inpainting.py --dataset mnist --data DIR": ("minutes", "tests/examples/test_inpainting.py"),
    "python examples/conditional.py --data DIR": (
        "5 minutes, and images with labels",
        "tests/examples/test_conditional.py",
    ),
    "python examples/table_2.py": ("1 minute", "tests/examples/test_table_2.py::test_rows_keys_and_picture"),
    "python examples/figure_1.py --gif": (
        "21 s",
        "tests/examples/test_figure_1.py::test_pictures_page_and_gif_are_written",
    ),
    "python examples/learned_discriminator.py": ("50 s", "tests/examples/test_learned_discriminator.py"),
    "python examples/figure_2.py runs/mnist runs/tfd runs/cifar10-fc runs/cifar10-conv --data DIR": (
        "needs four runs",
        "tests/examples/test_figure_2.py::test_two_runs_have_two_panels_and_two_objects",
    ),
    "python examples/toys_2d.py --toy ring": ("31 s", "tests/examples/test_toys_2d.py"),
    "python examples/helvetica.py": ("23 s", "tests/examples/test_helvetica.py"),
    "python tests/gpu_checks.py": ("needs a GPU", _GPU),
    "python -m benchmarks": ("minutes", f"{_MAIN}::test_everything_at_once"),
    "python -m benchmarks --out benchmarks/results/NAME": ("minutes", f"{_MAIN}::test_everything_at_once"),
    "python -m benchmarks table --write": (
        "changes the checkout",
        "tests/benchmarks/test_readme_table.py::test_the_readme_has_the_tables_that_the_results_make",
    ),
    "python -m benchmarks step --peers tinygan-numba torch torch-compile jax --seconds 3": (
        "needs PyTorch and JAX",
        "tests/benchmarks/test_contestants.py",
    ),
    "python -m benchmarks step --experiment digits --threads 1 --peers tinygan-numba torch jax --seconds 2": (
        "needs PyTorch and JAX",
        "tests/benchmarks/test_contestants.py",
    ),
    "python -m benchmarks step --peers": ("needs PyTorch and JAX", "tests/benchmarks/test_contestants.py"),
    "for i in 1 2 3 4 5; do python -m benchmarks step --peers --out runs/step-$i; done": (
        "needs PyTorch and JAX",
        "tests/benchmarks/test_contestants.py",
    ),
    "python -m benchmarks parallel": ("4 minutes", _PARALLEL),
    "python -m benchmarks step --device cuda --peers": ("needs a GPU", "tests/benchmarks/test_contestants.py"),
    "python -m benchmarks step --device cuda --schedule simultaneous --peers": (
        "needs a GPU",
        "tests/benchmarks/test_contestants.py",
    ),
    "python -m benchmarks layers --device cuda": ("needs a GPU", f"{_MAIN}::test_layers"),
    "python -m benchmarks sweep --device cuda --overlay runs/benchmarks/sweep-cpu.json": (
        "needs a GPU",
        f"{_MAIN}::test_sweep_and_its_overlay",
    ),
    "python -m benchmarks costs --device cuda": ("needs a GPU", f"{_MAIN}::test_costs"),
    "python -m benchmarks --device cuda --out benchmarks/results/NAME-gpu": (
        "needs a GPU",
        f"{_MAIN}::test_everything_at_once",
    ),
}


def commands_of(page: Path) -> list[str]:
    """Return the commands of the page's shell blocks, without comments."""
    found = []
    for language, body in FENCE.findall(page.read_text(encoding="utf-8")):
        if language == "sh":
            for line in body.replace("\\\n", " ").splitlines():
                found.append(" ".join(re.sub(r"(^|\s)#.*", "", line).split()))
    return [command for command in found if command]


COMMANDS = sorted({command for page in PAGES for command in commands_of(page)})


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like a copy of the repository, with a run that was stopped, an experiment, and data to put for DIR."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("examples", "benchmarks", "tests", "tools"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "tinygan" / "experiments" / "digits.toml", folder / "my-experiment.toml")
    (folder / "DIR" / "mnist").mkdir(parents=True)
    for part, count in (("train", 60_000), ("t10k", 10_000)):
        images = np.resize(np.arange(256, dtype=np.uint8), (count, 28, 28))
        for name, array in (("images-idx3", images), ("labels-idx1", np.zeros(count, np.uint8))):
            content = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()
            path = folder / "DIR" / "mnist" / f"{part}-{name}-ubyte.gz"
            path.write_bytes(gzip.compress(content, compresslevel=1))
    (folder / "my-images").mkdir()
    pictures = np.resize(np.arange(256, dtype=np.uint8), (100, 20, 20, 3))
    np.save(folder / "my-images.npy", pictures)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / "my-images" / f"{number}.png")
    for short in ("digits --epochs 2 --steps 20", "digits-conditional --epochs 1"):
        done = run(f"tinygan train {short}", folder, folder / "bin")
        assert done.returncode == 0, done.stderr
    return folder


def run(command: str, folder: Path, programs: Path) -> subprocess.CompletedProcess[str]:
    """Run a command by the shell, with the `python` and the `tinygan` of this environment."""
    programs.mkdir(exist_ok=True)
    tinygan = programs / "tinygan"  # found only where tinygan is not installed, but imported from its folder
    tinygan.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m tinygan "$@"\n', encoding="utf-8")
    tinygan.chmod(0o755)
    path = os.pathsep.join([str(Path(sys.executable).parent), str(programs), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the pages are written for sh")
@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in ELSEWHERE])
def test_a_command_runs(command: str, checkout: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkout"
    shutil.copytree(checkout, folder, symlinks=True, ignore=shutil.ignore_patterns("DIR"))
    (folder / "DIR").symlink_to(checkout / "DIR")
    before = snapshot(ROOT / "examples")
    _, words = SHORTER.get(command, ("", ""))
    done = run(f"{command} {words}".strip(), folder, folder / "bin")
    assert done.returncode == 0, f"{command} {words}\n{done.stdout}\n{done.stderr}"
    assert snapshot(ROOT / "examples") == before  # examples write to runs/examples


def snapshot(folder: Path) -> dict[Path, int]:
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {path: path.stat().st_mtime_ns for path in files}


@pytest.mark.parametrize("command", [*SHORTER, *ELSEWHERE])
def test_the_lists_name_commands_of_the_pages(command: str) -> None:
    assert command in COMMANDS


@pytest.mark.parametrize("test", sorted({test for _, test in ELSEWHERE.values()}))
def test_the_named_tests_exist(test: str) -> None:
    file, _, name = test.partition("::")
    text = (ROOT / file).read_text(encoding="utf-8")
    assert f"def {name}(" in text if name else text


def test_ci_runs_the_commands_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    [patterns] = re.findall(r"for pattern in (.*); do", script)
    lines = README.read_text(encoding="utf-8").splitlines()
    found = [[line for line in lines if re.search(pattern, line)] for pattern in shlex.split(patterns)]
    assert [len(each) for each in found] == [1] * len(found)  # each pattern finds one command
    assert [line for [line] in found] == commands_of(README)  # all of them, in this order


def test_extras_in_the_pages_exist() -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = {extra for extras in re.findall(r"'\.\[([\w,]+)\]'", text) for extra in extras.split(",")}
    assert {"cuda13", "test", "peers"} <= named <= set(config["options.extras_require"])


# ---------------------------------------------------------------------- the text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_is_a_command_or_a_doctest(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    blocks = FENCE.findall(text)
    assert text.count("```") == 2 * len(blocks)
    for language, body in blocks:
        assert language in ("sh", "python")
        assert language == "sh" or body.startswith(">>> ")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_prose_parse(page: Path) -> None:
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    for words in (span.split()[1:] for span in re.findall(r"`(tinygan [^`]+)`", prose)):
        if len(words) > 1:
            build_parser().parse_args(words)
        else:
            with pytest.raises(SystemExit) as stopped:
                build_parser().parse_args([*words, "--help"] if words != ["--help"] else words)
            assert stopped.value.code == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_have_targets(page: Path) -> None:
    for link in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if link.startswith("https://"):
            continue
        name, _, anchor = unquote(link).partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """Return the anchors that a repository page gives to the headings."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_and_picture_is_linked() -> None:
    linked = set()
    for page in PAGES:
        linked |= {(page.parent / link.partition("#")[0]).resolve() for link in LINK.findall(page.read_text("utf-8"))}
    assert set(PAGES) - {README} <= linked
    assert set((ROOT / "examples" / "pictures").iterdir()) <= linked


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150


def test_the_animation_is_small_and_moves() -> None:
    path = ROOT / "examples" / "pictures" / "figure_1.gif"
    assert path.stat().st_size < 1_500_000
    with Image.open(path) as picture:
        assert picture.n_frames > 20


def test_every_experiment_has_its_command() -> None:
    text = "\n".join(commands_of(ROOT / "docs" / "commands.md"))
    for path in (ROOT / "tinygan" / "experiments").glob("*.toml"):
        assert f"tinygan train {tomllib.loads(path.read_text('utf-8'))['name']}" in text
