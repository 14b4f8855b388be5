"""Writing files so that a reader sees the old file or the new one, never a part of one; files as memory."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Gives a binary file to write; when the block ends well it takes the place of `path`, else nothing changes.

    The file is written in the same folder without a name (or under a temporary one where the system needs one), flushed
    to the disk and renamed. An existing file keeps its mode bits and a symbolic link stays one. What is no regular file
    (a pipe, a device) is written directly.

    Raises:
        RuntimeError: the folder does not exist.
        OSError: the file cannot be written.
    """
    target = os.path.realpath(os.fspath(path))
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise RuntimeError(f"Parent directory {os.path.dirname(os.fspath(path)) or folder} does not exist.")
    try:
        status = os.stat(target)
    except FileNotFoundError:
        status = None
    if status is not None and not stat.S_ISREG(status.st_mode):
        with open(target, "wb") as file:  # a folder raises IsADirectoryError here
            yield file
        return
    if status is not None and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
    mode = _new_file_mode() if status is None else stat.S_IMODE(status.st_mode)
    temporary = os.path.join(folder, f".{os.path.basename(target)[:99]}.{os.urandom(6).hex()}.tmp")
    try:
        descriptor, named = _open_new(folder, temporary)
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
            if not named:
                _give_name(descriptor, temporary, folder)
        os.replace(temporary, target)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename in (None, temporary):  # the name that the user knows
            error.filename = os.fspath(path)
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def _open_new(folder: str, name: str) -> tuple[int, bool]:
    """A new file in the folder, and whether it is there under `name`.

    Where the system can it has no name yet: when the process is killed, nothing of it is left.
    """
    if hasattr(os, "O_TMPFILE"):
        with contextlib.suppress(OSError):  # not every file system has this
            return os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600), False
    return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), True


def _give_name(descriptor: int, name: str, folder: str) -> None:
    """Puts a file without a name into its folder: by a link, or where that fails by a copy."""
    folder_descriptor = os.open(folder, os.O_RDONLY)
    try:  # with a folder given, the link in /proc is followed
        os.link(f"/proc/self/fd/{descriptor}", name, src_dir_fd=folder_descriptor, follow_symlinks=True)
    except OSError:
        import shutil

        os.lseek(descriptor, 0, os.SEEK_SET)
        with open(descriptor, "rb", closefd=False) as source, open(name, "xb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
            copy.flush()
            os.fchmod(copy.fileno(), stat.S_IMODE(os.fstat(descriptor).st_mode))
            os.fsync(copy.fileno())
    finally:
        os.close(folder_descriptor)


def _new_file_mode() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def _sync_folder(folder: str) -> None:
    """Makes the rename itself durable, where the system can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def map_file(filename: str, size: int, shared: bool) -> mmap.mmap:
    """The first `size` bytes of a file as writable memory; what is written reaches the file only when it is shared.

    A shared file that is missing or too short is made longer by zeros.

    Raises:
        RuntimeError: the file cannot be opened, or has fewer bytes.
    """
    import mmap

    flags = (os.O_RDWR | os.O_CREAT) if shared else os.O_RDONLY
    try:
        descriptor = os.open(filename, flags, 0o600)
    except OSError as error:
        raise RuntimeError(f"unable to open file <{filename}>: {error.strerror}") from None
    try:
        there = os.fstat(descriptor).st_size
        if there < size:
            if not shared:
                raise RuntimeError(f"file <{filename}> has {there} bytes, fewer than the {size} that are asked for")
            os.ftruncate(descriptor, size)
        return mmap.mmap(descriptor, size, access=mmap.ACCESS_WRITE if shared else mmap.ACCESS_COPY)
    finally:
        os.close(descriptor)
