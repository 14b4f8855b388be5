"""Models of other people's repositories: loaded from a folder, or from GitHub where there is a network.

A repository has a file `hubconf.py` whose functions make models; `dependencies` in it lists packages that they need.
Under `bulssi run`, `import torch` in it means Bulssi.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import sys
import tempfile
import warnings
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

__all__ = ["download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url", "set_dir"]

_TRUSTED_OWNERS = ("facebookresearch", "facebookincubator", "pytorch", "fairinternal")
_dir: str | None = None


def _get_torch_home() -> str:
    """The folder of files for every program: ``$TORCH_HOME``, by default ``~/.cache/torch``."""
    cache = os.getenv("XDG_CACHE_HOME", "~/.cache")
    return os.path.expanduser(os.getenv("TORCH_HOME", os.path.join(cache, "torch")))


def get_dir() -> str:
    """The folder of what is downloaded: as set, or ``$TORCH_HOME/hub``, by default ``~/.cache/torch/hub``."""
    return os.path.join(_get_torch_home(), "hub") if _dir is None else _dir


def set_dir(d: str | os.PathLike[str]) -> None:
    """Set the folder of what is downloaded."""
    global _dir
    _dir = os.path.expanduser(d)


# ---- downloading -----------------------------------------------------------------------------------------------------


@contextmanager
def _opened(url: str) -> Iterator[Any]:
    try:
        with urlopen(Request(url, headers={"User-Agent": "torch.hub"})) as response:
            yield response
    except HTTPError:
        raise
    except URLError as error:
        raise URLError(
            f"{error.reason}\nhub: {url} cannot be reached. Is there a network? Download it elsewhere, and load it "
            "with hub.load(folder, ..., source='local') or load(file)"
        ) from error


def download_url_to_file(url: str, dst: str, hash_prefix: str | None = None, progress: bool = True) -> None:
    """Download to a file, which appears only when it is complete.

    Args:
        hash_prefix: what the SHA-256 of the content must begin with.
        progress: show how far it is, with `tqdm` if that is there.

    Raises:
        URLError: the address cannot be reached.
        RuntimeError: the hash is another.
    """
    dst = os.path.expanduser(dst)
    descriptor, partial = tempfile.mkstemp(dir=os.path.dirname(dst) or ".", suffix=".partial")
    digest = hashlib.sha256()
    try:
        with _opened(url) as response, os.fdopen(descriptor, "wb") as file:
            with _bar(response.headers.get("Content-Length"), progress) as bar:
                while chunk := response.read(1 << 17):
                    file.write(chunk)
                    digest.update(chunk)
                    bar.update(len(chunk))
        if hash_prefix is not None and not digest.hexdigest().startswith(hash_prefix):
            raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "{digest.hexdigest()}")')
        shutil.move(partial, dst)
    finally:
        if os.path.exists(partial):
            os.remove(partial)


class _NoBar:
    """What takes the place of tqdm's bar where the package is not installed: nothing is shown."""

    def __init__(self, iterable: Any = None, **options: Any) -> None:
        self.iterable = () if iterable is None else iterable

    def __iter__(self) -> Iterator[Any]:
        return iter(self.iterable)

    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def update(self, n: float = 1) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def __getattr__(name: str) -> Any:
    if name != "tqdm":
        raise AttributeError(f"module 'torch.hub' has no attribute {name!r}")
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return _NoBar
    return tqdm


def _bar(length: str | None, shown: bool) -> Any:
    kind = __getattr__("tqdm") if shown else _NoBar
    return kind(total=int(length) if length else None, unit="B", unit_scale=True, unit_divisor=1024)


HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")


def load_state_dict_from_url(
    url: str,
    model_dir: str | os.PathLike[str] | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = False,
) -> dict[str, Any]:
    """Load what is saved at an address; it is downloaded once, to ``model_dir`` or ``get_dir()/checkpoints``.

    Args:
        check_hash: the name is ``name-HASH.ext``, and the SHA-256 of the content must begin with that.
        file_name: the name of the file here.

    Raises:
        URLError: the address cannot be reached.
    """
    import bulssi

    folder = os.fspath(model_dir) if model_dir is not None else os.path.join(get_dir(), "checkpoints")
    os.makedirs(folder, exist_ok=True)
    name = file_name or os.path.basename(urlparse(url).path)
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        sys.stderr.write(f'Downloading: "{url}" to {path}\n')
        found = HASH_REGEX.search(name) if check_hash else None
        download_url_to_file(url, path, found.group(1) if found else None, progress)
    return bulssi.load(path, map_location=map_location, weights_only=weights_only)


# ---- repositories ----------------------------------------------------------------------------------------------------


def _parse(github: str) -> tuple[str, str, str | None]:
    """owner, name and branch or tag of ``owner/name[:ref]``."""
    repository, _, ref = github.partition(":")
    owner, _, name = repository.partition("/")
    if not owner or not name or "/" in name:
        raise ValueError(f"{github!r} is no repository: expected 'owner/name' or 'owner/name:ref'")
    return owner, name, ref or None


def _trust(owner: str, name: str, trust_repo: Any, calling: str) -> None:
    """Ask before code of a stranger is run."""
    known = os.path.join(get_dir(), "trusted_list")
    os.makedirs(get_dir(), exist_ok=True)
    trusted = open(known).read().split() if os.path.exists(known) else []
    identity = f"{owner}_{name}"
    if owner in _TRUSTED_OWNERS or identity in trusted:
        return
    if trust_repo is False or trust_repo == "check":
        answer = input(
            f"The repository {owner}_{name} does not belong to the list of trusted repositories and as such cannot be "
            "downloaded. Do you trust this repository and wish to add it to the trusted list of repositories (y/N)?"
        )
        if answer.lower() not in ("y", "yes"):
            raise Exception("Untrusted repository.")
    elif trust_repo is None:
        warnings.warn(
            "You are about to download and run code from an untrusted repository. In a future release, this won't be "
            f"allowed. Use {calling}(..., trust_repo=True) to say that you trust it.",
            stacklevel=4,
        )
        return
    with open(known, "a") as file:
        file.write(identity + "\n")


def _repository(github: str, force_reload: bool, trust_repo: Any, calling: str) -> str:
    """The folder of a repository on GitHub, downloaded unless it is there."""
    owner, name, ref = _parse(github)
    _trust(owner, name, trust_repo, calling)
    if ref is None:
        try:
            with _opened(f"https://github.com/{owner}/{name}/tree/main/"):
                ref = "main"
        except HTTPError as error:
            if error.code != 404:
                raise
            ref = "master"
    folder = os.path.join(get_dir(), "_".join((owner, name, ref.replace("/", "_"))))
    if os.path.exists(folder) and not force_reload:
        sys.stderr.write(f"Using cache found in {folder}\n")
        return folder
    with tempfile.TemporaryDirectory(dir=get_dir()) as work:
        archive = os.path.join(work, "archive.zip")
        url = f"https://github.com/{owner}/{name}/zipball/{ref}"
        sys.stderr.write(f'Downloading: "{url}" to {archive}\n')
        download_url_to_file(url, archive, progress=False)
        with zipfile.ZipFile(archive) as file:
            _check_names(file)
            file.extractall(os.path.join(work, "content"))
        inner = os.path.join(work, "content", os.listdir(os.path.join(work, "content"))[0])
        shutil.rmtree(folder, ignore_errors=True)
        shutil.move(inner, folder)
    return folder


def _check_names(archive: zipfile.ZipFile) -> None:
    for name in archive.namelist():
        if os.path.isabs(name) or ".." in name.split("/"):
            raise ValueError(f"Archive entry has absolute path: {name}")


def _folder(repo_or_dir: Any, source: str, force_reload: bool, trust_repo: Any, calling: str) -> str:
    source = source.lower()
    if source not in ("github", "local"):
        raise ValueError(f'Unknown source: "{source}". Allowed values: "github" | "local".')
    if source == "local":
        return os.fspath(repo_or_dir)
    return _repository(repo_or_dir, force_reload, trust_repo, calling)


@contextmanager
def _hubconf(folder: str) -> Iterator[ModuleType]:
    """The folder's hubconf.py as a module, while the folder is where imports look first."""
    path = os.path.join(folder, "hubconf.py")
    if not os.path.exists(path):
        raise FileNotFoundError(f"hub: there is no file {path}")
    sys.path.insert(0, folder)
    try:
        spec = importlib.util.spec_from_file_location("hubconf.py", path)
        if spec is None or spec.loader is None:
            raise ImportError(f"hub: {path} cannot be imported")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        missing = [name for name in getattr(module, "dependencies", ()) if not _importable(name)]
        if missing:
            raise RuntimeError(f"Missing dependencies: {', '.join(missing)}")
        yield module
    finally:
        sys.path.remove(folder)


def _importable(name: str) -> bool:
    if name == "torch":
        return True  # hubconf.py has imported it, or does without
    return importlib.util.find_spec(name) is not None


def _entry(module: ModuleType, model: str) -> Any:
    if not isinstance(model, str):
        raise ValueError("Invalid input: model should be a string of function name")
    found = getattr(module, model, None)
    if found is None or not callable(found):
        raise RuntimeError(f"Cannot find callable {model} in hubconf")
    return found


def list(
    github: str, force_reload: bool = False, skip_validation: bool = False, trust_repo: Any = None, verbose: bool = True
) -> Any:
    """The names of what a repository on GitHub offers."""
    with _hubconf(_repository(github, force_reload, trust_repo, "list")) as module:
        return [name for name in dir(module) if callable(getattr(module, name)) and not name.startswith("_")]


def help(
    github: str, model: str, force_reload: bool = False, skip_validation: bool = False, trust_repo: Any = None
) -> Any:
    """The documentation of one of them."""
    with _hubconf(_repository(github, force_reload, trust_repo, "help")) as module:
        return _entry(module, model).__doc__


def load(
    repo_or_dir: Any,
    model: str,
    *args: Any,
    source: str = "github",
    trust_repo: Any = None,
    force_reload: bool = False,
    verbose: bool = True,
    skip_validation: bool = False,
    **kwargs: Any,
) -> Any:
    """What the function ``model`` of a repository returns for the further arguments.

    Args:
        repo_or_dir: a folder, or ``"owner/name[:ref]"`` on GitHub.
        source: ``"local"`` for a folder, ``"github"``.
        trust_repo: True runs code of owners that are not known; ``"check"`` asks, None warns.
        force_reload: download also what is there.

    Raises:
        ValueError: an unknown source.
        RuntimeError: the repository has no such function, or needs packages that are missing.
        URLError: GitHub cannot be reached.
    """
    folder = _folder(repo_or_dir, source, force_reload, trust_repo, "load")
    with _hubconf(folder) as module:
        return _entry(module, model)(*args, **kwargs)
