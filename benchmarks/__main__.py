"""``python -m benchmarks``: parse, measure, print, write."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.compare import compare
from benchmarks.contestants import PEERS, default_peers, refuse_missing, there
from benchmarks.conv import measure_conv
from benchmarks.conv_games import GAMES, LAYERS
from benchmarks.costs import measure_costs
from benchmarks.errors import BenchmarkError, PeerMissingError
from benchmarks.kernels import measure_kernels
from benchmarks.layers import measure_layers
from benchmarks.parallel import EXPERIMENTS, measure_parallel
from benchmarks.parzen import measure_parzen
from benchmarks.plots import draw_parallel, draw_roofline, draw_step, draw_sweep
from benchmarks.profile import measure_profile
from benchmarks.readme_table import README, RESULTS, TABLES, make_tables, updated
from benchmarks.results import read_result, write_result
from benchmarks.step import measure_step
from benchmarks.sweep import BATCHES, PEERS_OF_SWEEP, WIDTHS, measure_sweep
from benchmarks.tables import threads_of
from benchmarks.task import SCHEDULES, Task, default_threads, make_task
from tinygan.backend import get_backend
from tinygan.errors import TinyganError

DEFAULT_OUT = Path("runs/benchmarks")
GPU = RESULTS / "h200" / "step-cuda.json"
_LATER = "conv, kernels and parallel"  # not part of all
_DESCRIPTION = f"How fast tinygan is. Without a command, all but {_LATER}: three minutes, with peers six."


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=_DESCRIPTION)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    everything = commands.add_parser("all", help=f"everything below but {_LATER}; runs without a command")
    _add_machine_options(everything)
    everything.add_argument("--experiment", default="mnist", help="for the parts that have one (mnist)")
    everything.add_argument("--quick", action="store_true", help="for a moment each and few sizes: does it all work?")
    everything.add_argument("--out", type=Path, help=f"folder for JSON and pictures ({DEFAULT_OUT})")
    everything.set_defaults(run=_everything)

    step = commands.add_parser("step", help="one iteration, beside its own products and beside other frameworks")
    _add_task_options(step, seconds=6.0, what="how long each contestant runs")
    _add_peers(step, list(PEERS))
    step.set_defaults(run=_step)

    layers = commands.add_parser("layers", help="each layer forward and backward, against the machine's peak")
    _add_machine_options(layers)
    _add_output_options(layers, seconds=0.3, what="how long each layer runs, each way")
    layers.add_argument("--batch", type=_count, default=100, help="images in a minibatch (100)")
    layers.set_defaults(run=_layers)

    conv = commands.add_parser("conv", help="convolutions, and an iteration of convolutional games, beside PyTorch")
    conv.add_argument(
        "--steps", nargs="*", choices=list(GAMES), metavar="GAME", help=f"iterations of {', '.join(GAMES)} (all)"
    )
    conv.add_argument(
        "--layers", nargs="*", choices=list(LAYERS), metavar="LAYER", help=f"of: {'; '.join(LAYERS)} (all)"
    )
    conv.add_argument("--threads", type=_count, nargs="+", default=[1, 2], metavar="N", help="in turn (1 2)")
    conv.add_argument("--batch", type=_count, metavar="N", help="images in a minibatch (that of each game and layer)")
    _add_output_options(conv, seconds=4.0, what="how long each contestant runs in a game; in a layer, a quarter")
    conv.set_defaults(run=_conv)

    sweep = commands.add_parser("sweep", help="one iteration over the size of the batch and the width of the networks")
    _add_machine_options(sweep)
    _add_output_options(sweep, seconds=1.0, what="how long each point takes")
    sweep.add_argument("--batches", type=_count, nargs="*", default=list(BATCHES), metavar="N")
    sweep.add_argument("--widths", type=_count, nargs="*", default=list(WIDTHS), metavar="N")
    _add_peers(sweep, list(PEERS_OF_SWEEP))
    sweep.add_argument("--overlay", type=Path, metavar="FILE", help="a sweep of another device to draw beside it")
    sweep.set_defaults(run=_sweep)

    parallel = commands.add_parser("parallel", help="a step on several processes and threads; how many ranks pay")
    parallel.add_argument(
        "--experiments", nargs="+", default=list(EXPERIMENTS), metavar="NAME", help=f"({' '.join(EXPERIMENTS)})"
    )
    parallel.add_argument("--ranks", type=_count, nargs="+", default=[2, 4], metavar="N", help="processes (2 4)")
    parallel.add_argument("--batch", type=_count, metavar="N", help="rows (of dcgan-mnist 16, else the experiment's)")
    parallel.add_argument("--gpu", type=Path, default=GPU, metavar="FILE", help="a step on a GPU (results/h200)")
    _add_output_options(parallel, seconds=1.5, what="how long each contestant runs")
    parallel.set_defaults(run=_parallel)

    costs = commands.add_parser("costs", help="what anomaly mode, averaging and checkpoints cost, as ratios")
    _add_task_options(costs, seconds=2.0, what="how long each variant runs")
    costs.set_defaults(run=_costs)

    parzen = commands.add_parser("parzen", help="the evaluation of Table 1, beside the one matrix product in it")
    parzen.add_argument("--samples", type=_count, default=10_000, help="of the generator (10,000)")
    parzen.add_argument("--rows", type=_count, default=500, help="of data (500)")
    parzen.add_argument("--threads", type=_count, help="for matrix products (all)")
    _add_output_options(parzen, seconds=3.0, what="how long it runs")
    parzen.set_defaults(run=_parzen)

    kernels = commands.add_parser("kernels", help="each kernel of the CPU: portable, NumPy, numba; what numba costs")
    kernels.add_argument("--rows", type=_count, default=200, help="of a minibatch (200: real and fake)")
    kernels.add_argument("--no-costs", action="store_true", help="do not measure what numba costs")
    _add_output_options(kernels, seconds=0.3, what="how long each kernel runs, all three ways")
    kernels.set_defaults(run=_kernels)

    profile = commands.add_parser("profile", help="where the time of an iteration goes, function by function")
    _add_task_options(profile, seconds=3.0, what="how long to profile")
    profile.set_defaults(run=_profile)

    comparison = commands.add_parser("compare", help="two results of one kind: do they differ by more than noise?")
    comparison.add_argument("a", type=Path, metavar="A.json")
    comparison.add_argument("b", type=Path, metavar="B.json")
    comparison.set_defaults(run=lambda arguments: print(compare(arguments.a, arguments.b)))

    table = commands.add_parser("table", help="the tables of benchmarks/README.md, from the results that are committed")
    table.add_argument("--write", action="store_true", help="put them into the README")
    table.set_defaults(run=_table)
    return parser


def _add_peers(parser: argparse.ArgumentParser, default: list[str]) -> None:
    parser.add_argument(
        "--peers",
        nargs="*",
        choices=list(PEERS),
        metavar="NAME",
        help=f"also some of {', '.join(PEERS)}; without names, those that there are of {', '.join(default)}",
    )


def _add_task_options(parser: argparse.ArgumentParser, seconds: float, what: str) -> None:
    parser.add_argument("--experiment", default="mnist", help="a shipped name or the path of a TOML file (mnist)")
    parser.add_argument(
        "--schedule",
        choices=list(SCHEDULES),
        default="alternating",
        help="Algorithm 1 as printed, or the released code's (alternating)",
    )
    _add_machine_options(parser)
    _add_output_options(parser, seconds, what)


def _add_machine_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=_count, help="for matrix products (what the experiment says, else all)")


def _add_output_options(parser: argparse.ArgumentParser, seconds: float, what: str) -> None:
    parser.add_argument("--seconds", type=_positive, default=seconds, help=f"{what} ({seconds:g})")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else, on stdout")
    parser.add_argument("--out", type=Path, help=f"folder for JSON and pictures ({DEFAULT_OUT}; with --json, none)")


# ---------------------------------------------------------------------- the commands


def _everything(arguments: argparse.Namespace) -> None:
    """Run every measurement, with all the peers there are; draw everything."""
    device, threads = _device(arguments), arguments.threads
    peers = default_peers(device)
    try:
        refuse_missing(peers)
    except PeerMissingError as error:
        print(f"not all peers: {error}", file=sys.stderr)
        peers = there(peers)
    scale, few = (0.02, 1) if arguments.quick else (1.0, None)
    task = make_task(arguments.experiment, device=device, threads=threads)
    measured = measure_step(task, 4 * scale, peers)
    _show(arguments, measured, draw_step)
    measured = measure_layers(device, task.threads, seconds=0.2 * scale)
    _show(arguments, measured, draw_roofline)
    measured = measure_costs(task, 2 * scale)
    _show(arguments, measured)
    if device == "cpu":
        samples, rows = (100, 10) if arguments.quick else (10_000, 500)
        _show(arguments, measure_parzen(task.threads, samples, rows, 3 * scale))
        _show(arguments, measure_profile(task, 3 * scale))
    beside = [] if arguments.quick else [name for name in PEERS_OF_SWEEP if name in peers]
    measured = measure_sweep(device, threads, BATCHES[:few], WIDTHS[:few], 0.5 * scale, beside)
    _show(arguments, measured, lambda sweep, path: draw_sweep([sweep], path))


def _step(arguments: argparse.Namespace) -> None:
    peers = _peers(arguments, PEERS)
    _show(arguments, measure_step(_task(arguments), arguments.seconds, peers), draw_step)


def _peers(arguments: argparse.Namespace, default: Iterable[str]) -> list[str]:
    """Return the contestants that were asked for; without names, those of the default that there are."""
    if arguments.peers is None:
        return []
    return list(dict.fromkeys(arguments.peers)) or default_peers(arguments.device, tuple(default))


def _layers(arguments: argparse.Namespace) -> None:
    threads = arguments.threads or default_threads()
    measured = measure_layers(_device(arguments), threads, arguments.batch, arguments.seconds)
    _show(arguments, measured, draw_roofline)


def _conv(arguments: argparse.Namespace) -> None:
    everything = arguments.steps is None and arguments.layers is None
    games, layers = (
        list(there) if given == [] or everything else given or []
        for given, there in ((arguments.steps, GAMES), (arguments.layers, LAYERS))
    )

    def after_each(measured: dict[str, Any]) -> None:  # a run that is stopped keeps what it has measured
        last = measured["rows"][-1]
        ratio = f"{last['ratio']:.2f} of PyTorch's time" if "ratio" in last else last.get("refused", "measured")
        tqdm.write(f"{last['what']}, {threads_of(last['threads'])}: {ratio}", file=sys.stderr)
        if (path := _path(arguments, measured)) is not None:
            write_result(path, measured)

    measured = measure_conv(games, layers, arguments.threads, arguments.batch, arguments.seconds, after_each)
    _show(arguments, measured)
    refused = [row["what"] for row in measured["rows"] if "refused" in row]
    if refused:
        raise BenchmarkError(f"conv: no times of {', '.join(refused)}; the reasons are above, and in the JSON")


def _sweep(arguments: argparse.Namespace) -> None:
    others = [_read(arguments, "overlay", "sweep")] if arguments.overlay else []
    peers = _peers(arguments, PEERS_OF_SWEEP)
    sizes = arguments.batches, arguments.widths
    measured = measure_sweep(_device(arguments), arguments.threads, *sizes, arguments.seconds, peers)

    def draw(sweep: dict[str, Any], path: Path) -> None:
        # the CPU first: the crossover is where the second curve begins to win
        draw_sweep(sorted([sweep, *others], key=lambda each: each["settings"]["device"]), path)

    _show(arguments, measured, draw)


def _parallel(arguments: argparse.Namespace) -> None:
    gpu = _read(arguments, "gpu", "step")
    for experiment in arguments.experiments:
        measured = measure_parallel(experiment, arguments.ranks, arguments.batch, arguments.seconds, gpu)
        _show(arguments, measured, draw_parallel)


def _read(arguments: argparse.Namespace, option: str, kind: str) -> dict[str, Any]:
    """Read a result that an option names."""
    path = getattr(arguments, option)
    found = read_result(path)
    if found["benchmark"] != kind:
        raise BenchmarkError(f"--{option} {path}: expected a {kind}, got {found['benchmark']!r}")
    return found


def _costs(arguments: argparse.Namespace) -> None:
    _show(arguments, measure_costs(_task(arguments), arguments.seconds))


def _parzen(arguments: argparse.Namespace) -> None:
    threads = arguments.threads or default_threads()
    _show(arguments, measure_parzen(threads, arguments.samples, arguments.rows, arguments.seconds))


def _kernels(arguments: argparse.Namespace) -> None:
    _show(arguments, measure_kernels(arguments.rows, arguments.seconds, not arguments.no_costs))


def _profile(arguments: argparse.Namespace) -> None:
    _show(arguments, measure_profile(_task(arguments), arguments.seconds))


def _table(arguments: argparse.Namespace) -> None:
    tables = make_tables()
    if arguments.write:
        README.write_text(updated(README.read_text(encoding="utf-8"), tables), encoding="utf-8")
    else:
        print(tables)


# ---------------------------------------------------------------------- in and out


def _device(arguments: argparse.Namespace) -> str:
    get_backend(arguments.device)  # says what is missing before anything is started
    return str(arguments.device)


def _task(arguments: argparse.Namespace) -> Task:
    return make_task(arguments.experiment, arguments.schedule, _device(arguments), arguments.threads)


def _show(
    arguments: argparse.Namespace,
    measured: dict[str, Any],
    draw: Callable[[dict[str, Any], Path], None] | None = None,
) -> None:
    """Print the result as asked for; write and draw it."""
    as_json = getattr(arguments, "json", False)
    table = TABLES[measured["benchmark"]]
    print(json.dumps(measured, allow_nan=False) if as_json else f"{table(measured)}\n", flush=True)
    path = _path(arguments, measured)
    if path is None:
        return
    write_result(path, measured)
    print(f"written: {path}", file=sys.stderr)
    if draw is not None:
        draw(measured, path.with_suffix(".png"))
        print(f"drawn: {path.with_suffix('.png')}", file=sys.stderr)


def _path(arguments: argparse.Namespace, measured: dict[str, Any]) -> Path | None:
    """Return where the result is to be written, or None: one file for each experiment, schedule and device."""
    out = arguments.out or (None if getattr(arguments, "json", False) else DEFAULT_OUT)
    settings = measured["settings"]
    other = settings.get("experiment", "mnist"), settings.get("schedule", "alternating")
    differs = [re.sub(r"[^\w.-]", "-", word) for word in other if word not in ("mnist", "alternating")]
    return out and out / f"{'-'.join([measured['benchmark'], *differs, settings['device']])}.json"


def _positive(text: str) -> float:
    value = _number(float, text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, got {text}")
    return value


def _count(text: str) -> int:
    value = _number(int, text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {text}")
    return int(value)


def _number(kind: type[int] | type[float], text: str) -> float:
    try:
        return kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number, got {text!r}") from None


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status: 0, or 1 for a refusal, 2 for a wrong command line, 130 after Ctrl-C."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or (argv[0].startswith("-") and argv[0] not in ("-h", "--help")):
        argv.insert(0, "all")
    arguments = build_parser().parse_args(argv)
    try:
        arguments.run(arguments)
        sys.stdout.flush()
    except TinyganError as error:
        print(f"benchmarks: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("benchmarks: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
