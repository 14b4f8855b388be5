"""`bulssi run script.py` and `bulssi run -m module`: a PyTorch program, with torch meaning Bulssi."""

from __future__ import annotations

import builtins
import difflib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import os
import sys
import types
from typing import TYPE_CHECKING, Any

import bulssi

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["TORCH_VERSION", "install", "run", "run_module"]

TORCH_VERSION = "2.13.0+bulssi"  # what programs that ask for torch.__version__ are told
_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class _Torch(types.ModuleType):
    """The module `torch`: bulssi, but for its name and version."""

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            return getattr(bulssi, "__all__", None) or [n for n in dir(bulssi) if not n.startswith("_")]
        try:
            return getattr(bulssi, name)
        except AttributeError:
            # A program that did `import torch` expects torch.optim and the like to be there.
            if name.startswith("_") or importlib.util.find_spec(f"bulssi.{name}") is None:
                raise
            return importlib.import_module(f"bulssi.{name}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("__"):
            super().__setattr__(name, value)
        elif getattr(bulssi, name, self) is not value:
            setattr(bulssi, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(bulssi, name)

    def __dir__(self) -> list[str]:
        return dir(bulssi)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds torch and torch.* as bulssi and bulssi.*, the very same modules."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if fullname != "torch" and not fullname.startswith("torch."):
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        if spec.name == "torch":
            module = _Torch("torch", bulssi.__doc__)
            module.__version__ = TORCH_VERSION
            return module
        own = "bulssi" + spec.name[len("torch") :]
        try:
            module = importlib.import_module(own)
        except ModuleNotFoundError as error:
            if error.name is None or not (own == error.name or own.startswith(error.name + ".")):
                raise  # something that the module itself needs
            module = self._attribute(own)
            if module is None:
                raise ModuleNotFoundError(f"No module named '{spec.name}'", name=spec.name) from None
        self.specs = {**getattr(self, "specs", {}), spec.name: module.__spec__}
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        if isinstance(module, _Torch):
            return
        # The import system has just written the alias's spec into the module; it stays itself.
        name = module.__spec__.name if module.__spec__ is not None else ""
        module.__spec__ = self.specs.pop(name, module.__spec__)

    @staticmethod
    def _attribute(own: str) -> types.ModuleType | None:
        """A namespace that is a module object without a file of its own."""
        value: Any = bulssi
        for part in own.split(".")[1:]:
            value = getattr(value, part, None)
        return value if isinstance(value, types.ModuleType) else None


class _Safetensors(_Finder):
    """Finds safetensors, where that package is not installed, as this library's reader and writer."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if fullname not in ("safetensors", "safetensors.torch"):
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = importlib.import_module("bulssi.safetensors")
        self.specs = {**getattr(self, "specs", {}), spec.name: module.__spec__}
        return module


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module of bulssi, whose classes then say that they are torch's: programs print and pickle them."""

    def exec_module(self, module: types.ModuleType) -> None:
        super().exec_module(module)
        _name_classes(module)


class _OwnFinder(importlib.abc.MetaPathFinder):
    """Finds the modules of bulssi that are not loaded yet."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith("bulssi."):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and type(spec.loader) is importlib.machinery.SourceFileLoader:
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


def _name_classes(module: types.ModuleType) -> None:
    for value in list(vars(module).values()):
        home = value.__module__ if isinstance(value, type) else None  # of a class that is one; some have a descriptor
        if isinstance(home, str) and home.startswith("bulssi.") and not home.startswith("bulssi._core"):
            value.__module__ = "torch" + home[len("bulssi") :]


def install() -> None:
    """Makes `import torch` give Bulssi in this process, from now on."""
    if any(type(finder) is _Finder for finder in sys.meta_path):
        return
    for name in [n for n in sys.modules if n == "torch" or n.startswith("torch.")]:
        del sys.modules[name]
    sys.meta_path[0:0] = [_Finder(), _OwnFinder()]
    sys.meta_path.append(_Safetensors())
    for name, module in list(sys.modules.items()):
        if name.startswith("bulssi."):
            _name_classes(module)


def run(script: str, args: Sequence[str]) -> int:
    """Runs a script as `python script args` does, with torch meaning Bulssi; returns the exit code."""
    try:
        with open(script, "rb") as file:
            source = file.read()
    except OSError as error:
        print(f"bulssi run: {script}: {error.strerror}", file=sys.stderr)
        return 2
    install()
    path = os.path.abspath(script)
    loader = importlib.machinery.SourceFileLoader("__main__", path)
    main = _main_module(path, loader, None, "")
    main.__package__ = None
    sys.argv = [script, *args]
    return _execute(lambda: compile(source, path, "exec", dont_inherit=True), main, os.path.dirname(path))


def run_module(name: str, args: Sequence[str]) -> int:
    """Runs a module as `python -m name args` does, with torch meaning Bulssi; returns the exit code."""
    install()
    sys.path[0:1] = [os.getcwd()]
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{name}.__main__")
    except Exception as error:  # of a package that the module is in
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is None or not (name + ".").startswith(missing + "."):
            _report(error, "")
            return 1
        spec = None
    code = getattr(spec.loader, "get_code", lambda _: None)(spec.name) if spec is not None else None
    if spec is None or code is None:
        print(f"bulssi run: there is no module {name} to run", file=sys.stderr)
        return 2
    path = spec.origin or ""
    sys.argv = [path, *args]
    return _execute(lambda: code, _main_module(path, spec.loader, spec, spec.parent), os.getcwd())


def _main_module(path: str, loader: Any, spec: Any, package: str | None) -> types.ModuleType:
    main = types.ModuleType("__main__")
    main.__file__, main.__loader__, main.__spec__, main.__package__ = path, loader, spec, package
    vars(main).update(__builtins__=builtins, __cached__=getattr(spec, "cached", None))
    return main


def _execute(code: Callable[[], Any], main: types.ModuleType, folder: str) -> int:
    """Runs code as the program's main module, whose modules are looked for in `folder` first."""
    # Processes that the program starts afresh (multiprocessing's "spawn") get this path, and find torch there.
    own = 0 if getattr(sys.flags, "safe_path", False) else 1
    sys.path[0:own] = [folder, os.path.join(os.path.dirname(os.path.abspath(__file__)), "as_torch")]
    before, sys.modules["__main__"] = sys.modules["__main__"], main
    try:
        exec(code(), main.__dict__)
    except SystemExit as leaving:
        return _exit_code(leaving.code)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        _report(error, main.__file__ or "")
        return 1
    finally:
        sys.modules["__main__"] = before
        _flush()
    return 0


def _exit_code(code: Any) -> int:
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for what exit handlers still print


# ------------------------------------------------------------------------------------------------------ missing names


def _report(error: BaseException, script: str) -> None:
    """An exception that the script did not catch: one paragraph for a missing name, else the script's traceback."""
    missing = describe_missing(error)
    if missing is not None:
        print(missing, file=sys.stderr)
        return
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != script:
        trace = trace.tb_next
    if trace is not None:  # without the frames of this file
        error.__traceback__ = trace
    sys.excepthook(type(error), error, error.__traceback__)


def describe_missing(error: BaseException) -> str | None:
    """For a name of torch that Bulssi does not have: which, where, and what comes closest. Else None."""
    found = _missing_module(error) or _missing_attribute(error)
    if found is None:
        return None
    name, candidates = found
    where, line = _place(error)
    text = f"{where}: {name} is not in Bulssi {bulssi.__version__}"
    if line:
        text += f"\n    {line}"
    reason = str(error).partition(f"attribute {name.rpartition('.')[2]!r}: ")[2]
    if reason:
        return f"{text}\n  {reason}"
    close = _closest(name.rpartition(".")[2], candidates)
    if close:
        prefix = name.rpartition(".")[0]
        text += "\n  closest: " + ", ".join(f"{prefix}.{other}" if prefix else other for other in close)
    return text


def _closest(name: str, candidates: Sequence[str]) -> list[str]:
    by_lower: dict[str, list[str]] = {}
    for other in candidates:
        by_lower.setdefault(other.lower(), []).append(other)
    close = []
    for lower in difflib.get_close_matches(name.lower(), by_lower, n=4, cutoff=0.6):
        # Of Adam and adam the one that is written like the name.
        close += sorted(by_lower[lower], key=lambda other: other[0].isupper() != name[0].isupper())
    close += [other for other in sorted(candidates) if name.lower() in other.lower() and other not in close][:3]
    return close[:5]


def _missing_module(error: BaseException) -> tuple[str, list[str]] | None:
    if not isinstance(error, ModuleNotFoundError) or error.name is None or not error.name.startswith("torch."):
        return None
    import pkgutil

    parent = error.name.rpartition(".")[0]
    own = sys.modules.get("bulssi" + parent[len("torch") :])
    paths = getattr(own, "__path__", [])
    return error.name, [info.name for info in pkgutil.iter_modules(paths) if not info.name.startswith("_")]


def _missing_attribute(error: BaseException) -> tuple[str, list[str]] | None:
    if isinstance(error, ImportError) and error.name and (error.name + ".").startswith(("torch.", "bulssi.")):
        module = sys.modules.get(error.name)
        message = str(error).split("'")  # cannot import name 'x' from 'torch.nn' (…)
        if module is None or not str(error).startswith("cannot import name") or len(message) < 2:
            return None
        return f"{_torch_name(error.name)}.{message[1]}", dir(module)
    if not isinstance(error, AttributeError):
        return None
    obj, name = getattr(error, "obj", None), getattr(error, "name", None)
    if obj is None or name is None:
        return None
    if isinstance(obj, types.ModuleType):
        owner = obj.__name__
    else:
        kind = obj if isinstance(obj, type) else type(obj)
        owner = f"{kind.__module__}.{kind.__qualname__}" if kind.__module__ != "torch" else f"torch.{kind.__qualname__}"
        if issubclass(kind, bulssi.nn.Module):
            return None  # an attribute of the user's own module
    if not (owner + ".").startswith(("torch.", "bulssi.")):
        return None
    return f"{_torch_name(owner)}.{name}", [other for other in dir(obj) if not other.startswith("_")]


def _torch_name(name: str) -> str:
    """A name of this library as PyTorch's."""
    name = "torch" + name[len("bulssi") :] if (name + ".").startswith("bulssi.") else name
    return name.replace("torch._core", "torch")


def _place(error: BaseException) -> tuple[str, str]:
    """File and line of the user's code that the error came from, and its text."""
    found = ("the script", "")
    trace = error.__traceback__
    while trace is not None:
        filename = trace.tb_frame.f_code.co_filename
        if not os.path.abspath(filename).startswith(_HERE + os.sep) and not filename.startswith("<frozen"):
            found = (f"{filename}:{trace.tb_lineno}", linecache.getline(filename, trace.tb_lineno).strip())
        trace = trace.tb_next
    return found
