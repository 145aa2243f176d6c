"""``tinygan evaluate``."""

from __future__ import annotations

import argparse
import dataclasses
import json
from typing import Any

from tqdm import tqdm

from tinygan import evaluation
from tinygan.cli import output
from tinygan.cli.arguments import add_no_average_option, open_run, path, positive
from tinygan.cli.own_data import add_data_options, load_data
from tinygan.config.data import OWN
from tinygan.config.experiment import load_experiment
from tinygan.errors import ArgumentError
from tinygan.experiments.protocol import BEST, LAST, ProtocolResult, image_count, run_protocol
from tinygan.experiments.selection import IMAGES, SAMPLES

_CAVEAT = "A Parzen window estimate has a high variance and can prefer blur: compare it only with such estimates."


def add_commands(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "evaluate",
        help="estimate the log-likelihood of test images, as in Table 1 of the paper",
        description="Estimate the log-likelihood of the test images by a Gaussian Parzen window on samples of a run.",
    )
    parser.add_argument("folder", type=path, metavar="RUN", help="the run folder")
    add_data_options(parser)
    parser.add_argument(
        "--checkpoint",
        choices=(BEST, LAST),
        help="the best on validation, or the last (default: the best, if the run has one)",
    )
    parser.add_argument(
        "--samples", type=positive, default=SAMPLES, metavar="N", help=f"samples to draw (default: {SAMPLES:,})"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="the seed of the noise (default: 0)")
    parser.add_argument(
        "--fold", type=int, metavar="F", help="the fold of the validation and test images (default: the experiment's)"
    )
    parser.add_argument(
        "--all",
        action="store_true",
        dest="more",
        help="also class coverage, precision and recall, density and coverage, MMD with two kernels, a two-sample "
        "test, and the log-likelihood with training images in the place of samples",
    )
    add_no_average_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run ``tinygan evaluate``."""
    if arguments.seed < 0:
        raise ArgumentError(f"--seed {arguments.seed}: expected 0 or more")
    folder = open_run(arguments.folder)
    config = load_experiment(folder.config_path)
    if arguments.fold is not None:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, fold=arguments.fold))
    dataset = load_data(config, arguments)
    hidden = arguments.quiet or not output.shows_progress()
    with tqdm(total=image_count(dataset), unit="image", leave=False, file=output.messages, disable=hidden) as bar:
        found = run_protocol(
            folder, dataset, arguments.checkpoint, arguments.samples, arguments.seed, bar.update, arguments.more,
            averaged=not arguments.no_average,
        )  # fmt: skip
    if arguments.json:
        output.result(json.dumps(found.as_dict()))
    else:
        output.result(_table(found, len(dataset.validation)))
    return 0


def _table(found: ProtocolResult, validation: int) -> str:
    chosen = "the best on validation" if found.checkpoint == BEST else "the last"
    grid = evaluation.SIGMAS
    source = "your own" if found.data in OWN else found.data
    source += "" if found.fold is None else f", fold {found.fold}"
    rows = [
        ("run", f"{found.run} ({found.experiment})"),
        ("checkpoint", f"{chosen}: epoch {found.epoch:,}, step {found.steps:,}"),
        ("samples", f"{found.samples:,}, from the noise of seed {found.seed}, {_weights_of(found)}"),
        ("sigma", f"{found.sigma:.4f}, the best of {len(grid)} from {grid[0]:g} to {grid[-1]:g} on validation"),
        (
            "validation",
            f"{found.valid_mean:.1f} ± {found.valid_standard_error:.1f} nats "
            f"(the first {min(IMAGES, validation):,} of {validation:,} images of {source})",
        ),
        ("test", f"{found.test_mean:.1f} ± {found.test_standard_error:.1f} nats ({found.test_images:,} images)"),
        *_more(found),
        *(("warning", text) for text in found.warnings),
        ("note", _CAVEAT),
    ]
    return "\n".join(f"{name:<12}{output.escaped(text)}" for name, text in rows)


def _weights_of(found: ProtocolResult) -> str:
    return "with the running mean of G's weights" if found.averaged else "with G's weights themselves"


def _more(found: ProtocolResult) -> list[tuple[str, str]]:
    measures = found.measures
    if measures is None:
        return []
    images = measures.training_images
    rows = [
        ("regions", str(measures.regions)),
        ("density", str(measures.density)),
        ("MMD", str(measures.discrepancy)),
        ("MMD", str(measures.polynomial)),
        ("two-sample", str(measures.test)),
        (
            "reference",
            f"{images.test_mean:.1f} ± {images.test_standard_error:.1f} nats for {images.images:,} training images in "
            f"the place of samples (sigma {images.sigma:.4f})",
        ),
    ]
    if measures.coverage is not None:
        each = zip(measures.coverage.classes, measures.coverage.counts, strict=True)
        counts = ", ".join(f"{label}: {round(count, 1):,g}" for label, count in each)
        rows.insert(0, ("coverage", f"{measures.coverage} ({counts})"))
        share, error = measures.coverage.agreement, measures.coverage.agreement_error
        if share is not None and error is not None:
            right = f"{100 * share:.1f} % ± {100 * error:.1f} % of the samples"
            rows.insert(0, ("classes", f"{right} are nearest to a training image of the class asked for"))
    return rows
