from __future__ import annotations

import hashlib
import logging.handlers
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest

from tinygan.data.files import file_in, find_or_download, find_private, find_unpacked
from tinygan.errors import DataError

FILES = {"one.gz": b"the first file", "two.gz": b"the second file"}
CHECKSUMS = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
Mirror = tuple[str, list[str]]  # its address, and the paths requested from it


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for the test; no folder is named, and no proxy is used."""
    monkeypatch.delenv("TINYGAN_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    return tmp_path / "cache" / "tinygan" / "toys"


@pytest.fixture
def mirror() -> Iterator[Callable[..., Mirror]]:
    """Start web servers on this machine; with `short`, a server announces one byte more than it sends."""
    servers = []

    def start(files: dict[str, bytes], short: bool = False) -> Mirror:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                content = files.get(self.path.removeprefix("/toys/"))
                if content is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content) + short))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/toys/", asked

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def unreachable() -> str:
    """An address where no server listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/toys/"


def fill(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refusal(**arguments: object) -> str:
    with pytest.raises(DataError) as caught:
        find_or_download("toys", CHECKSUMS, **{"mirrors": [], **arguments})  # type: ignore[arg-type]
    return str(caught.value)


def test_order_of_places(
    tmp_path: Path, cache: Path, unreachable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(folder: Path | None = None) -> Path:
        return find_or_download("toys", CHECKSUMS, [unreachable], folder)

    argument, variable = fill(tmp_path / "argument" / "toys"), fill(tmp_path / "variable" / "toys")
    fill(cache)
    assert find() == cache
    monkeypatch.setenv("TINYGAN_DATA", "")
    assert find() == cache
    monkeypatch.setenv("TINYGAN_DATA", str(variable.parent))
    assert find() == variable
    assert find(argument.parent) == argument
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert find(Path("~/argument")) == argument


def test_a_named_folder_is_never_written_to(
    tmp_path: Path, mirror: Callable[..., Mirror]
) -> None:
    url, asked = mirror(FILES)
    fill(tmp_path / "toys", {"one.gz": b"gzipped by someone else"})
    message = refusal(mirrors=[url], folder=tmp_path)
    home = tmp_path / "toys"
    assert message == (
        f"toys: {home} has no two.gz. Put one.gz and two.gz into {home}, and name {tmp_path} with --data "
        "(in Python: folder=) or in the environment variable TINYGAN_DATA; or name no folder, and they are "
        "downloaded"
    )
    (home / "two.gz").write_bytes(b"this too")
    assert find_or_download("toys", CHECKSUMS, [url], tmp_path) == home
    assert asked == []


@pytest.mark.parametrize("unpacked", [(), ("one",), ("one", "two")])
@pytest.mark.parametrize("below", ["toys", "."])
@pytest.mark.parametrize("by_variable", [False, True])
def test_unpacked_files_and_the_subfolder_are_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unpacked: tuple[str, ...], below: str, by_variable: bool
) -> None:
    files = {name if name in unpacked else f"{name}.gz": b"numbers" for name in ("one", "two")}
    home = fill(tmp_path / "data" / below, files) if below != "." else fill(tmp_path / "data", files)
    if by_variable:
        monkeypatch.setenv("TINYGAN_DATA", str(tmp_path / "data"))
    folder = None if by_variable else tmp_path / "data"
    assert find_or_download("toys", CHECKSUMS, [], folder) == home
    assert find_private("toys", list(CHECKSUMS), "Ask Ann", folder) == home
    for name in ("one", "two"):
        assert file_in(home, f"{name}.gz").read_bytes() == b"numbers"
    (home / next(iter(files))).unlink()
    advice = f"Put one.gz and two.gz into {home}, and name {tmp_path / 'data'} with --data"
    assert refusal(folder=folder).startswith(f"toys: {home} has no one.gz. {advice}")


def test_the_packed_file_comes_first(tmp_path: Path) -> None:
    home = fill(tmp_path / "toys", FILES | {"one": b"unpacked"})
    assert file_in(home, "one.gz") == home / "one.gz"
    assert file_in(home, "none.gz") == home / "none.gz"


def test_the_home_of_an_unknown_user_is_refused() -> None:
    assert "write it without ~" in refusal(folder="~no-such-user-here/data")


def test_without_pooch_only_a_named_folder_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toys").mkdir()
    for name, content in FILES.items():
        (tmp_path / "toys" / name).write_bytes(content)
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert find_or_download("toys", CHECKSUMS, [], folder=tmp_path) == tmp_path / "toys"
    assert "no folder is named, and pooch cannot be imported" in refusal()


def test_a_folder_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYGAN_DATA", str(tmp_path / "typo"))
    message = refusal()
    assert f"{tmp_path / 'typo' / 'toys'} has no file of the data set (there is no such folder)" in message


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "toys").touch()
    message = refusal(folder=tmp_path)
    assert f"expected the folder {tmp_path / 'toys'}, but the system says: Not a dir" in message


def test_download_fills_the_cache_once_and_prints_nothing(
    cache: Path, mirror: Callable[..., Mirror], capfd: pytest.CaptureFixture[str]
) -> None:
    url, asked = mirror(FILES)
    logger, spoken = pooch.get_logger(), logging.handlers.BufferingHandler(100)
    logger.addHandler(spoken)
    logger.setLevel(logging.INFO)
    for _ in range(2):
        assert find_or_download("toys", CHECKSUMS, [url]) == cache
        assert contents(cache) == FILES
        assert asked == ["/toys/one.gz", "/toys/two.gz"]
    assert capfd.readouterr() == ("", "")
    assert (logger.level, spoken.buffer) == (logging.INFO, [])
    logger.removeHandler(spoken)


def test_progress_is_shown_when_asked(
    mirror: Callable[..., Mirror], capfd: pytest.CaptureFixture[str]
) -> None:
    find_or_download("toys", CHECKSUMS, [mirror(FILES)[0]], progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "100%" in err


@pytest.mark.parametrize("trouble", ["unreachable", "not found", "other bytes", "cut short"])
def test_the_second_mirror_helps_when_the_first_fails(
    trouble: str, cache: Path, unreachable: str, mirror: Callable[..., Mirror]
) -> None:
    first = {
        "unreachable": lambda: unreachable,
        "not found": lambda: mirror({})[0],
        "other bytes": lambda: mirror(dict.fromkeys(FILES, b"a login page"))[0],
        "cut short": lambda: mirror(FILES, short=True)[0],
    }[trouble]()
    second, asked = mirror(FILES)
    assert find_or_download("toys", CHECKSUMS, [first, second]) == cache
    assert contents(cache) == FILES
    assert asked == ["/toys/one.gz", "/toys/two.gz"]


def test_without_a_working_mirror_the_error_says_what_to_do(
    cache: Path, unreachable: str, mirror: Callable[..., Mirror]
) -> None:
    empty, wrong = mirror({})[0], mirror(dict.fromkeys(FILES, b"a login page"))[0]
    assert refusal(mirrors=[unreachable, empty, wrong]).splitlines() == [
        "toys: one.gz could not be downloaded.",
        f"  {unreachable}one.gz: ConnectionError",
        f"  {empty}one.gz: 404 Client Error: Not Found for url: {empty}one.gz",
        f"  {wrong}one.gz: the file does not have the known SHA-256 checksum",
        "Put one.gz and two.gz into FOLDER/toys, and name FOLDER with --data (in Python: folder=) "
        "or in the environment variable TINYGAN_DATA; or try again when the network is available",
    ]
    assert contents(cache) == {}


def test_a_damaged_file_in_the_cache_is_fetched_again(cache: Path, mirror: Callable[..., Mirror]) -> None:
    url, asked = mirror(FILES)
    fill(cache, {**FILES, "two.gz": b"damaged"})
    find_or_download("toys", CHECKSUMS, [url])
    assert contents(cache) == FILES
    assert asked == ["/toys/two.gz"]


def test_without_download_the_cache_must_be_full(cache: Path, mirror: Callable[..., Mirror]) -> None:
    url, asked = mirror(FILES)
    assert "or allow the download, which was switched off" in refusal(mirrors=[url], download=False)
    assert not cache.exists()
    fill(cache)
    assert find_or_download("toys", CHECKSUMS, [url], download=False) == cache
    assert asked == []


def test_a_cache_that_cannot_be_made_is_named(cache: Path) -> None:
    cache.parent.parent.touch()
    message = refusal()
    assert f"the cache folder {cache} cannot be made" in message
    assert "Set TINYGAN_DATA to a folder that has toys/ with one.gz and two.gz in it" in message


def test_private_files_are_found_where_they_were_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = fill(tmp_path / "data" / "toys")
    assert find_private("toys", list(FILES), "Ask Ann", tmp_path / "data") == home
    monkeypatch.setenv("TINYGAN_DATA", str(tmp_path / "data"))
    assert find_private("toys", list(FILES), "Ask Ann") == home


def test_private_files_are_not_searched_in_the_cache(tmp_path: Path, cache: Path) -> None:
    fill(cache)
    with pytest.raises(DataError, match=r"^toys: no folder of data sets is named. Ask Ann. Put one.gz and two.gz "):
        find_private("toys", list(FILES), "Ask Ann")
    with pytest.raises(DataError, match=r"no file of the data set \(there is no such folder\). Ask Ann. Put one.gz"):
        find_private("toys", list(FILES), "Ask Ann", tmp_path)


@pytest.mark.parametrize("place", ["toys/inner", "toys", "inner", "."])
def test_unpacked_files_are_found_in_every_place(tmp_path: Path, place: str) -> None:
    assert find_unpacked("toys", "inner", ["a", "b"], tmp_path) is None
    home = tmp_path / place
    home.mkdir(parents=True, exist_ok=True)
    (home / "a").touch()
    with pytest.raises(DataError, match=r"toys: .* has no b\. Unpack the archive again"):
        find_unpacked("toys", "inner", ["a", "b"], tmp_path)
    (home / "b").touch()
    assert find_unpacked("toys", "inner", ["a", "b"], tmp_path) == home


def test_no_folder_has_no_unpacked_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert find_unpacked("toys", "inner", ["a"]) is None
    (tmp_path / "a").touch()
    monkeypatch.setenv("TINYGAN_DATA", str(tmp_path))
    assert find_unpacked("toys", "inner", ["a"]) == tmp_path
