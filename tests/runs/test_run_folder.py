"""A run folder refuses to be overwritten and goes back in time exactly."""

from __future__ import annotations

import errno
import os
import threading

import numpy as np
import pytest

from tinygan.errors import CheckpointError, DtypeError, RunError
from tinygan.runs.run_folder import RunFolder


@pytest.fixture(scope="module", autouse=True)
def disk_that_does_not_keep_us_waiting():
    """What has to be synced, and when, is tested by its order; the tests need no real syncing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        yield


@pytest.fixture
def run(tmp_path):
    return RunFolder.create(tmp_path / "run", "seed = 1\n", {"python": "3.11", "cpus": np.int64(2)})


def train(run, epochs, best=()):
    """Leave behind what a run leaves: in each epoch a line of metrics and of timing, and a checkpoint.

    In every second epoch also a diagnosis, after the checkpoint.
    """
    for epoch in epochs:
        run.append_metrics({"epoch": epoch, "loss": 1 / (epoch + 1)})
        run.append_timing({"epoch": epoch, "seconds": 0.5})
        run.save_checkpoint(epoch, {"w": np.full(3, epoch, np.float32)}, {"epoch": epoch}, best=epoch in best)
        if epoch % 2 == 0:
            run.append_diagnosis({"epoch": epoch, "verdicts": [], "measures": {}})


# --- making and opening ----------------------------------------------------------------------------------


def test_a_new_run_has_what_it_was_given(run):
    assert run.config_path.read_bytes() == b"seed = 1\n"
    assert run.environment() == {"python": "3.11", "cpus": 2}
    assert run.environment_path.read_text().endswith('"cpus": 2\n}\n')
    assert sorted(os.listdir(run.path)) == [
        "checkpoints", "config.toml", "environment.json", "run.lock", "samples",
    ]  # fmt: skip
    assert run.metrics() == run.timing() == run.diagnoses() == []
    assert run.latest_checkpoint() is None
    assert run.best_checkpoint() is None


def test_parents_are_made_and_an_empty_folder_is_used(tmp_path):
    RunFolder.create(tmp_path / "a" / "b", "", {})
    (tmp_path / "empty").mkdir()
    assert RunFolder.create(str(tmp_path / "empty"), "", {}).path == tmp_path / "empty"


def test_an_earlier_run_is_not_overwritten(run):
    before = run.config_path.stat().st_mtime_ns
    expected = rf"found an earlier run; choose another --out, or go on with that run: tinygan resume {run.path}"
    with pytest.raises(RunError, match=expected):
        RunFolder.create(run.path, "seed = 2\n", {})
    assert run.config_path.stat().st_mtime_ns == before


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    for name in "dbca":
        (tmp_path / name).touch()
    with pytest.raises(RunError, match=r"expected an empty folder, found a, b, c, \.\.\.; choose another --out"):
        RunFolder.create(tmp_path, "", {})
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "c", "d"]


def populate(folder, names):
    for name in names:
        (folder / name).mkdir(parents=True) if name.endswith("/") else (folder / name).write_text("half")


@pytest.mark.parametrize(
    "left",
    [
        ["run.lock"],
        ["run.lock", "samples/"],
        ["run.lock", "samples/", "checkpoints/"],
        ["run.lock", "samples/", "checkpoints/", ".environment.json.0123abcd.tmp"],
        ["run.lock", "samples/", "checkpoints/", "environment.json"],
        ["run.lock", "samples/", "checkpoints/", "environment.json", ".config.toml.0123abcd.tmp"],
    ],
)
def test_what_a_killed_process_had_begun_is_completed(tmp_path, run, left):
    (tmp_path / "begun").mkdir()
    populate(tmp_path / "begun", left)
    begun = RunFolder.create(tmp_path / "begun", "seed = 1\n", {"python": "3.11", "cpus": 2})
    for path in (run.path, begun.path):
        (path / "run.lock").unlink()  # it holds a process id
    assert sorted(os.listdir(begun.path)) == sorted(os.listdir(run.path))
    assert begun.environment_path.read_bytes() == run.environment_path.read_bytes()
    assert begun.config_path.read_bytes() == run.config_path.read_bytes()


@pytest.mark.parametrize(
    "names",
    [
        ["environment.json"],
        ["samples/", "environment.json"],
        ["checkpoints/"],
        ["samples/", "checkpoints/", "metrics.jsonl"],
        ["samples/", "samples/mine.png"],
        ["samples/", "checkpoints/", "checkpoints/mine.safetensors", "environment.json"],
        ["samples/", "checkpoints/", ".notes.txt.0123abcd.tmp"],
        ["samples/", "checkpoints/", "environment.json", "mine.txt"],
    ],
)
def test_what_only_looks_like_it_is_left_alone(tmp_path, names):
    populate(tmp_path, names)
    with pytest.raises(RunError, match="expected an empty folder, found "):
        RunFolder.create(tmp_path, "", {})
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == sorted(
        name.removesuffix("/") for name in names
    )


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="file: expected a folder, found a file; choose another --out"):
        RunFolder.create(tmp_path / "file", "", {})
    with pytest.raises(RunError, match="cannot make the run folder: Not a directory"):
        RunFolder.create(tmp_path / "file" / "below", "", {})


def test_an_environment_that_is_not_json_makes_no_folder(tmp_path):
    with pytest.raises(DtypeError, match=r"environment\['cpus'\] is a set"):
        RunFolder.create(tmp_path / "run", "", {"cpus": {1}})
    assert os.listdir(tmp_path) == []


def test_the_folder_is_a_run_only_when_everything_else_is_there(tmp_path, monkeypatch):
    written = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (written.append(b.name), replace(a, b))[1])
    RunFolder.create(tmp_path / "run", "", {})
    assert written == ["environment.json", "config.toml"]


def test_the_name_of_a_new_run_is_forced_to_the_disk(tmp_path, monkeypatch):
    synced = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
        RunFolder.create(tmp_path / "run", "", {})
    assert tmp_path.stat().st_ino in synced


def test_a_disk_that_is_full_from_the_start_is_named(tmp_path, monkeypatch):
    write, writes = os.write, []

    def full(descriptor, view):
        writes.append(1)
        if len(writes) > 1:  # the number in the lock file still fits
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, view)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(RunError, match="cannot make the run folder: No space left on device; free space"):
            RunFolder.create(tmp_path / "run", "", {})


def test_opening_finds_everything_again(run):
    train(run, [1, 2], best=[1])
    again = RunFolder.open(str(run.path))
    assert again.environment() == run.environment()
    assert [record["epoch"] for record in again.metrics()] == [1, 2]
    assert again.timing() == [{"epoch": 1, "seconds": 0.5}, {"epoch": 2, "seconds": 0.5}]
    assert again.diagnoses() == [{"epoch": 2, "verdicts": [], "measures": {}}]
    assert again.latest_checkpoint().state == {"epoch": 2}
    assert again.best_checkpoint().state == {"epoch": 1}


def test_opening_what_is_no_run_says_what_is_missing(tmp_path, run):
    with pytest.raises(RunError, match="nowhere: expected a run folder, found no folder of this name; give the"):
        RunFolder.open(tmp_path / "nowhere")
    with pytest.raises(RunError, match=r"found one without config\.toml and environment\.json"):
        RunFolder.open(tmp_path)
    run.environment_path.unlink()
    with pytest.raises(RunError, match=r"found one without environment\.json; give the folder"):
        RunFolder.open(run.path)


@pytest.mark.parametrize("content", [b"{", b"\xff", b"[]"])
def test_a_spoilt_environment_is_named(run, content):
    run.environment_path.write_bytes(content)
    with pytest.raises(RunError, match=r"environment\.json: "):
        run.environment()


# --- checkpoints and going back --------------------------------------------------------------------------


def test_a_negative_step_is_refused(run):
    with pytest.raises(CheckpointError, match="step is -1; expected 0 or more"):
        run.save_checkpoint(-1, {}, {})
    run.save_checkpoint(np.int64(1), {}, {"epoch": 1})
    assert run.latest_checkpoint().state == {"epoch": 1}


def test_the_best_has_the_same_bytes(run):
    train(run, [1], best=[1])
    files = [path.read_bytes() for path in run.checkpoints_path.iterdir()]
    assert len(files) == 2
    assert files[0] == files[1]


def test_a_resumed_run_has_the_bytes_of_an_undisturbed_one(run, tmp_path):
    undisturbed = RunFolder.create(tmp_path / "undisturbed", "", {})
    train(undisturbed, range(1, 9), best=[3, 6])

    train(run, range(1, 6), best=[3])
    (run.samples_path / "000005.png").touch()
    run.append_metrics({"epoch": 6, "loss": 0.125})  # got further than its last checkpoint
    run.append_timing({"epoch": 6, "seconds": 0.5})
    run.append_diagnosis({"epoch": 6, "verdicts": ["of a future that is cut off"], "measures": {}})
    run.metrics_path.write_bytes(run.metrics_path.read_bytes() + b'{"epoch": 7, "lo')  # and was killed here
    again = RunFolder.open(run.path)
    again.rewind(again.latest_checkpoint().state["epoch"])
    train(again, range(6, 9), best=[3, 6])

    for name in ["metrics.jsonl", "timing.jsonl", "diagnosis.jsonl"]:
        assert (run.path / name).read_bytes() == (undisturbed.path / name).read_bytes()
    for path in undisturbed.checkpoints_path.iterdir():
        assert path.read_bytes() == (run.checkpoints_path / path.name).read_bytes()
    assert len(os.listdir(run.checkpoints_path)) == 3
    assert os.listdir(run.samples_path) == ["000005.png"]


def test_rewinding_keeps_the_epochs_before(run):
    train(run, [1, 2, 3, 4])
    for epoch in (4, 3, 2, 0):
        run.rewind(epoch)
        for records in (run.metrics(), run.timing()):
            assert [record["epoch"] for record in records] == list(range(1, epoch + 1))
        assert [record["epoch"] for record in run.diagnoses()] == list(range(2, epoch + 1, 2))


@pytest.mark.parametrize(("step", "kept"), [(2, {1, 2, 3}), (3, {2, 3})])
def test_rewinding_removes_what_the_last_save_would_have(run, step, kept):
    train(run, [1, 2], best=[1])
    (run.checkpoints_path / f"step-{3:09d}.safetensors").touch()  # a kill came before the removal of the oldest
    run.rewind(2, step)
    names = {"best.safetensors", *(f"step-{number:09d}.safetensors" for number in kept)}
    assert set(os.listdir(run.checkpoints_path)) == names


def test_a_folder_without_diagnoses_is_rewound(run):
    train(run, [1, 2, 3])
    run.diagnosis_path.unlink()  # as an older version left it
    run.rewind(2)
    assert [record["epoch"] for record in run.metrics()] == [1, 2]
    assert run.diagnoses() == []
    assert not run.diagnosis_path.exists()


def test_lost_records_are_named_and_nothing_is_cut(run):
    train(run, [1, 2])
    run.append_metrics({"epoch": 3})
    metrics = run.metrics_path.read_bytes()
    os.truncate(run.timing_path, 10)
    for refuse in (run.rewind, run.check_records):
        with pytest.raises(RunError, match=r"timing\.jsonl: expected a record of each epoch from 1 to 2, found 0 that"):
            refuse(2)
    assert run.metrics_path.read_bytes() == metrics


def test_the_clock_leaves_no_trace_in_a_checkpoint(run, tmp_path):
    slow = RunFolder.create(tmp_path / "slow", "", {})
    for folder, seconds in ((run, 0.5), (slow, 1234.5)):
        folder.append_metrics({"epoch": 1})
        folder.append_timing({"epoch": 1, "seconds": seconds})
        folder.save_checkpoint(1, {"w": np.ones(3)}, {"seed": 1})
    assert run.timing_path.stat().st_size != slow.timing_path.stat().st_size
    assert run.latest_checkpoint().path.read_bytes() == slow.latest_checkpoint().path.read_bytes()


def test_records_are_on_the_disk_before_the_checkpoint(run, monkeypatch):
    run.append_metrics({"step": 1})
    run.append_timing({"step": 1})
    run.append_diagnosis({"epoch": 1})
    done = []
    real_sync, real_replace = os.fsync, os.replace

    def sync(descriptor):
        done.append(os.fstat(descriptor).st_ino)
        real_sync(descriptor)

    def replace(source, target):
        done.append(target.name)
        real_replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", sync)
        patch.setattr(os, "replace", replace)
        run.save_checkpoint(1, {}, {})
    before = done[: done.index("step-000000001.safetensors")]
    for needed in (run.metrics_path, run.timing_path, run.diagnosis_path, run.path):
        assert needed.stat().st_ino in before


def test_a_checkpoint_folder_that_a_copy_dropped_is_made_again(run):
    run.checkpoints_path.rmdir()
    train(RunFolder.open(run.path), [1])
    assert run.latest_checkpoint().state == {"epoch": 1}


# --- one writer ------------------------------------------------------------------------------------------


def test_a_writer_clears_leftovers_and_a_reader_does_not(run):
    train(run, [1])
    leftovers = [
        run.path / ".config.toml.01234567.tmp",
        run.samples_path / ".a.png.01234567.tmp",
        run.checkpoints_path / ".best.safetensors.01234567.tmp",
    ]
    for leftover in leftovers:
        leftover.touch()
    assert run.latest_checkpoint().state == {"epoch": 1}
    assert all(leftover.exists() for leftover in leftovers)  # they might be a live writer's
    with run.lock():
        assert not any(leftover.exists() for leftover in leftovers)
        assert run.latest_checkpoint().state == {"epoch": 1}


def test_a_leftover_that_cannot_be_removed_is_named(run, monkeypatch):
    (run.path / ".config.toml.01234567.tmp").touch()

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        expected = "cannot be cleared of half-written files: Permission denied"
        with pytest.raises(RunError, match=expected), run.lock():
            pass
    with run.lock():
        pass


def test_two_writers_are_refused(run):
    pytest.importorskip("fcntl")
    other = RunFolder.open(run.path)
    with run.lock(), pytest.raises(RunError, match=f"in use by process {os.getpid()}"), other.lock():
        pytest.fail("two writers")


def test_a_folder_taken_while_it_is_made_is_refused(tmp_path):
    pytest.importorskip("fcntl")
    first = RunFolder(tmp_path)
    with first.lock(), pytest.raises(RunError, match="in use by process"):
        RunFolder.create(tmp_path, "", {})
    RunFolder.create(tmp_path, "", {})  # a lock file alone is no obstacle


def test_a_run_made_a_moment_ago_is_not_overwritten(tmp_path, monkeypatch):
    lock = RunFolder.lock

    def late_lock(run):
        (run.path / "config.toml").write_text("the other's")
        return lock(run)

    monkeypatch.setattr(RunFolder, "lock", late_lock)
    with pytest.raises(RunError, match="found an earlier run"):
        RunFolder.create(tmp_path / "run", "", {})
    assert (tmp_path / "run" / "config.toml").read_text() == "the other's"


# --- the lock, and what is written where -----------------------------------------------------------------


def test_the_holder_may_take_the_lock_again_and_others_may_not(run):
    with run.lock():
        with run.lock():
            pass
        with pytest.raises(RunError, match="in use by process"), RunFolder(run.path).lock():
            pytest.fail("the lock was given twice")
        refused = []

        def other_thread():
            try:
                with run.lock():
                    pass
            except RunError as error:
                refused.append(error)

        thread = threading.Thread(target=other_thread)
        thread.start()
        thread.join()
        assert len(refused) == 1
    with RunFolder(run.path).lock():
        pass


WRITERS = {
    "metrics": lambda run: run.append_metrics({"step": 9}),
    "timing": lambda run: run.append_timing({"step": 9}),
    "diagnosis": lambda run: run.append_diagnosis({"epoch": 9}),
    "checkpoint": lambda run: run.save_checkpoint(9, {}, {}),
    "config": lambda run: run.write_config("seed = 9\n"),
    "rewind": lambda run: run.rewind(0),
}


def everything(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "run.lock"}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("replaced", [False, True])
def test_nothing_is_written_once_the_lock_file_is_gone(run, write, replaced):
    with run.lock():
        train(run, [1, 2])
        before = everything(run.path)
        (run.path / "run.lock").unlink()
        if replaced:
            (run.path / "run.lock").touch()
        with pytest.raises(RunError, match=r"run\.lock: the lock file was removed or replaced"):
            write(run)
    assert everything(run.path) == before


RECORDS = ("metrics.jsonl", "timing.jsonl", "diagnosis.jsonl")
FILES = ("config.toml", "environment.json", "report.html", *RECORDS)


@pytest.mark.parametrize("name", ["run.lock", "samples", "checkpoints", *FILES])
def test_nothing_is_written_through_a_link(run, tmp_path, name):
    train(run, [1, 2])
    place, outside = run.path / name, tmp_path / "outside"
    if place.is_dir():
        place.rename(outside)
        (outside / ".mine.png.0123abcd.tmp").write_text("what looks like a leftover")
    elif place.exists():
        place.rename(outside)
    else:
        outside.write_text("precious")
    place.symlink_to(outside)
    before = everything(tmp_path) | {outside: outside.read_bytes() if outside.is_file() else b""}
    with pytest.raises(RunError, match=f"{name}: .*it is a symbolic link"), run.lock():
        pytest.fail("the lock was given")
    if name not in ("run.lock", "environment.json"):
        for write in WRITERS.values():
            with pytest.raises(RunError, match=f"{name}: .*it is a symbolic link"):
                write(run)
    assert everything(tmp_path) | {outside: outside.read_bytes() if outside.is_file() else b""} == before


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_file_with_a_second_name_is_refused(run, tmp_path, name):
    """As ``cp --link`` makes one: shortening it here would shorten the copy."""
    train(run, [1, 2])
    os.link(run.path / name, tmp_path / "copy")
    before = (tmp_path / "copy").read_bytes()
    with pytest.raises(RunError, match=f"{name}: it has a second name"), run.lock():
        pytest.fail("the lock was given")
    with pytest.raises(RunError, match=f"{name}: it has a second name"):
        run.rewind(0)
    assert (tmp_path / "copy").read_bytes() == before


@pytest.mark.parametrize("name", ["run.lock", *FILES])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_or_a_folder_in_the_place_of_a_file_is_refused(run, name, make):
    (run.path / name).unlink(missing_ok=True)
    make(run.path / name)
    with pytest.raises(RunError, match=f"{name}: .*it is no plain file"), run.lock():
        pytest.fail("the lock was given")
    if name in ("config.toml", "environment.json"):
        with pytest.raises(RunError, match=f"found one without {name}"):
            RunFolder.open(run.path)
    if name in RECORDS:
        with pytest.raises(RunError, match="cannot be read: it is no plain file"):
            dict(zip(RECORDS, (run.metrics, run.timing, run.diagnoses), strict=True))[name]()


def test_the_folder_itself_may_be_a_link(run, tmp_path):
    (tmp_path / "link").symlink_to(run.path)
    linked = RunFolder.open(tmp_path / "link")
    with linked.lock():
        train(linked, [1])
    assert len(run.metrics()) == 1


def test_the_environment_has_a_size(run):
    run.environment_path.write_bytes(b" " * (1 << 21))
    with pytest.raises(RunError, match="it has 2097152 bytes; expected at most"):
        run.environment()


# --- names that are reserved, and changes that are noticed -----------------------------------------------


def test_a_numbered_run_takes_the_first_free_name(tmp_path):
    (tmp_path / "run-2").touch()
    os.symlink(tmp_path / "nothing", tmp_path / "run-4")
    made = [RunFolder.create(tmp_path / "run", "", {}, numbered=True).path.name for _ in range(3)]
    assert made == ["run", "run-3", "run-5"]


def test_a_run_that_another_went_on_with_is_not_gone_on_with(run):
    other = RunFolder.open(run.path)
    train(run, [1])
    run.remember()
    run.refuse_if_changed()
    other.refuse_if_changed()  # it has read nothing yet
    other.remember()
    train(run, [2])
    with pytest.raises(RunError, match="another process went on with this run"):
        other.refuse_if_changed()
    other.remember()
    run.write_config("seed = 2\n")
    with pytest.raises(RunError, match="or changed its configuration"):
        other.refuse_if_changed()
