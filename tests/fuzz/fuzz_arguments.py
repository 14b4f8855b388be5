"""Random arguments for every public function and method: an exception is fine, a crash or a hang is not.

The functions are found by looking: the functions and classes of the library's modules, the methods and properties of
Tensor and of the library's other objects, and the modules of nn, which are made and called. Most calls follow the
signature (random_arguments.py), so that they reach what computes; the others are anything. Each call is one line of
Python that is decided by the seed and its number. Calls run in forked workers with a limit on memory and on time.
Reported are calls that end the process, take too long, or raise SystemError (a broken promise between the core and the
interpreter); and that a plain sum no longer works afterwards.

    python tests/fuzz/fuzz_arguments.py --calls 200000 --seed 0
    python tests/fuzz/fuzz_arguments.py --seed 0 --show 4711      # the text of one call
    python tests/fuzz/fuzz_arguments.py --seed 0 --run 4711       # run it here
    python tests/fuzz/fuzz_arguments.py --calls 20000 --reached   # which functions no call got through
"""

from __future__ import annotations

import argparse
import os
import resource
import select
import signal
import sys
import time
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from random_arguments import (  # noqa: E402
    Signature,
    Target,
    call_text,
    helpers,
    python_signature,
    schema_signature,
    target_of,
)

MODULES = [
    "", "special", "linalg", "fft", "func", "nn.functional", "nn.init", "nn.utils", "nn.utils.rnn", "nn.utils.prune",
    "nn.utils.parametrizations", "nn.utils.parametrize", "nn.attention", "autograd", "autograd.functional",
    "autograd.graph", "autograd.forward_ad", "testing", "optim", "optim.lr_scheduler", "optim.swa_utils",
    "distributions", "distributions.kl", "utils.checkpoint", "utils.dlpack", "amp",
]  # fmt: skip

# Objects whose methods and properties are called, besides Tensor's.
OBJECTS = [
    "torch.Generator()", "torch.ones(2, 3).untyped_storage()", "torch.ones(2, 3).storage()", "torch.Size((2, 3))",
    "(torch.ones(2, 3, requires_grad=True) * 2).grad_fn", "torch.float32", "torch.device('cpu')", "torch.strided",
    "torch.contiguous_format", "torch.finfo(torch.float32)", "torch.iinfo(torch.int8)", "torch.nn.Linear(3, 3)",
    "torch.nn.ParameterList([torch.ones(3)])", "torch.nn.ModuleList()", "torch.nn.Sequential(torch.nn.Linear(3, 3))",
    "torch.nn.ModuleDict()", "torch.nn.MultiheadAttention(4, 2)", "torch.nn.LSTM(3, 2)",
    "torch.nn.utils.rnn.pack_sequence([torch.ones(2, 3)])", "torch.autograd.Function",
    "torch.optim.SGD([torch.ones(3, requires_grad=True)], 0.1)", "torch.distributions.Normal(0.0, 1.0)",
    "torch.distributions.Categorical(torch.ones(3))", "torch.max(torch.ones(2, 3), 0)",
]  # fmt: skip

# Not called: they change the state of the process for later calls, use files or devices, or wait for something.
LEFT_OUT = {
    "set_num_threads", "set_num_interop_threads", "set_default_dtype", "set_default_device", "set_printoptions",
    "set_default_tensor_type", "set_flush_denormal", "use_deterministic_algorithms", "set_grad_enabled", "save",
    "load", "set_anomaly_enabled", "set_detect_anomaly", "share_memory_", "share_memory", "compile", "from_file",
    "set_rng_state", "seed", "set_warn_always", "set_deterministic_debug_mode", "set_float32_matmul_precision",
    "assert_close", "make_tensor", "autocast_increment_nesting", "autocast_decrement_nesting", "enter_dual_level",
    "exit_dual_level", "register_kl", "register_parametrization_hook", "set_default_validate_args", "from_blob",
}  # fmt: skip

MEMORY_LIMIT = 3 << 30  # bytes that a worker may map
SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")
# What a call may take of the processors; the machine may be busy with other things, or the process stopped, and a call
# that waits for something uses none, so by the clock there is a limit as well. Sanitized code is several times slower.
CALL_SECONDS = 60.0 if SANITIZED else 20.0
CLOCK_SECONDS = 300.0


# ---- what to call ----------------------------------------------------------------------------------------------------


class Finder:
    """Collects what is public and can be called."""

    def __init__(self, library: Any) -> None:
        self.library = library
        self.found: dict[str, Target] = {}
        self.schemas: dict[str, list[str]] = {}  # of the core's operations, by name
        core = getattr(library, "_core", None)
        for entry in core.registry() if core is not None else ():
            for name in {entry["name"], *(alias.rpartition(".")[2] for alias in entry["aliases"].split())}:
                self.schemas.setdefault(name, []).append(entry["schema"])

    def signatures(self, name: str, function: Any, method: bool) -> tuple[Signature, ...]:
        if isinstance(function, types.FunctionType):
            found = python_signature(function)
            return (found[1:] if method and found and found[0].name == "input" else found,)
        schemas = self.schemas.get(name) or self.schemas.get(name.removesuffix("_"), [])
        return tuple(schema_signature(schema, method) for schema in schemas)

    def add(self, text: str, kind: str, signatures: tuple[Signature, ...] = (), forward: Signature = ()) -> None:
        self.found.setdefault(text, Target(text, kind, signatures, forward))

    def functions(self, path: str) -> None:
        module = self.library
        for part in filter(None, path.split(".")):
            module = getattr(module, part, None)
        for name in sorted(dir(module)) if module is not None else ():
            value = getattr(module, name, None)
            if name.startswith("_") or name in LEFT_OUT or not callable(value) or isinstance(value, types.ModuleType):
                continue
            home = getattr(value, "__module__", None) or ""
            text = ".".join(filter(None, ["torch", path, name]))
            if home in ("builtins", "typing"):
                continue
            if not isinstance(value, type):
                self.add(text, "function", self.signatures(name, value, False))
            elif issubclass(value, BaseException) or not path.startswith(("optim", "distributions")):
                continue
            else:
                self.add(text, "class", (python_signature(value.__init__),))

    def members(self, text: str, owner: Any, kind: str = "method") -> None:
        """The methods and properties of an object, or of a class for objects that `text` makes."""
        for name in sorted(dir(owner)):
            if name in LEFT_OUT or (name.startswith("_") and not name.startswith("__")):
                continue
            try:
                value = getattr(owner, name, None)
            except Exception:
                continue
            if not callable(value):
                if not name.startswith("__"):
                    self.add(f"{text}.{name}", "property")
            elif name.startswith("__") and not hasattr(value, "__objclass__") and not hasattr(value, "__self__"):
                continue
            elif not isinstance(value, type) and name not in (
                "__init__", "__new__", "__init_subclass__", "__subclasshook__", "__del__", "__reduce_ex__",
                "__reduce__", "__getstate__", "__dir__", "__sizeof__",
            ):  # fmt: skip
                self.add(f"{text}.{name}", kind, self.signatures(name, value, True))

    def modules(self) -> None:
        nn = getattr(self.library, "nn", None)
        for name in sorted(dir(nn)) if nn is not None else ():
            value = getattr(nn, name, None)
            if isinstance(value, type) and issubclass(value, nn.Module) and not name.startswith("_"):
                forward = python_signature(value.forward)
                self.add(f"torch.nn.{name}", "module", (python_signature(value.__init__),), forward)


def find_targets(library: Any) -> list[Target]:
    """Everything public that can be called, in a fixed order."""
    finder = Finder(library)
    for path in MODULES:
        finder.functions(path)
    finder.members("{tensor}", library.Tensor)
    finder.modules()
    names = helpers(library)
    for text in OBJECTS if hasattr(library, "Generator") else ():
        finder.members(text, eval(text, names), "object")
    return list(finder.found.values())


# ---- calling ---------------------------------------------------------------------------------------------------------


def use(library: Any, result: Any) -> None:
    """Look at a result, so that a broken one shows."""
    if isinstance(result, library.Tensor):
        if result.numel() <= 2000:
            repr(result)
        if result.requires_grad and result.numel() <= 2000:
            result.sum().backward(create_graph=True)
    elif isinstance(result, (tuple, list)) and len(result) <= 20:
        for item in result:
            use(library, item)


def use_again(library: Any, shared: Any) -> None:
    """Look at the tensor that several arguments shared, and differentiate its gradient."""
    if isinstance(shared, library.Tensor) and shared.numel() <= 2000:
        repr(shared)
        grad = shared.grad if shared.is_leaf else None
        if grad is not None and grad.requires_grad:
            grad.sum().backward()
            shared.grad = None


def run_call(library: Any, text: str, reached: bool = False) -> str:
    """Run one call; "" or what is wrong; where `reached` is asked for, "reached" if it raised nothing."""
    names = dict(helpers_of(library))
    for look in (lambda: use(library, eval(text, names)), lambda: use_again(library, names.get("a"))):
        try:
            look()
        except SystemError as error:
            return f"SystemError: {error}"
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                return f"raised {type(error).__name__}"
            reached = False
    library.set_grad_enabled(True)
    try:
        total = float((library.ones(3) + 1).sum())
    except Exception as error:
        return f"afterwards ones(3) fails with {type(error).__name__}: {error}"
    if total != 6.0:
        return f"afterwards (ones(3) + 1).sum() is {total}"
    return "reached" if reached else ""


def helpers_of(library: Any) -> dict[str, Any]:
    """`helpers`, made once."""
    if id(library) not in HELPERS:
        HELPERS[id(library)] = helpers(library)
    return HELPERS[id(library)]


HELPERS: dict[int, dict[str, Any]] = {}


def worker(work: Callable[[int], str], first: int, last: int, pipe: int) -> None:
    """Runs calls by number and tells the parent about each: its number, then what is wrong with it."""
    # AddressSanitizer reserves terabytes of addresses; there ASAN_OPTIONS=max_allocation_size_mb limits memory.
    if not SANITIZED:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.setrecursionlimit(500)
    warnings.simplefilter("ignore")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    for number in range(first, last):
        os.write(pipe, f"{number}\n".encode())
        wrong = work(number)
        if wrong:
            os.write(pipe, f"{number} {' '.join(wrong.split())}\n".encode("utf-8", "replace"))
    os.write(pipe, b"done\n")
    os._exit(0)


class Worker:
    """A forked process and what it has told."""

    def __init__(self, work: Callable[[int], str], first: int, last: int) -> None:
        reading, writing = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reading)
            try:
                worker(work, first, last, writing)
            finally:
                os._exit(70)
        os.close(writing)
        self.pipe, self.number, self.last = reading, first, last
        self.since, self.used = time.monotonic(), 0.0
        self.text, self.done = b"", False
        self.wrong: list[tuple[int, str]] = []

    def read(self) -> bool:
        """Take what has arrived; False at the end."""
        data = os.read(self.pipe, 65536)
        self.since, self.used = time.monotonic(), self.processor_seconds()
        *lines, self.text = (self.text + data).split(b"\n")
        for line in lines:
            number, _, wrong = line.decode("utf-8", "replace").partition(" ")
            if number == "done":
                self.done = True
            else:
                self.number = int(number)
                if wrong:
                    self.wrong.append((self.number, wrong))
        return bool(data)

    def processor_seconds(self) -> float:
        """What all threads of the process have used."""
        try:
            with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:  # no such file system: the clock alone decides
            return time.monotonic()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def late(self) -> bool:
        """Whether the call that it is at takes too long."""
        waited = time.monotonic() - self.since
        return waited > CLOCK_SECONDS or (waited > 1 and self.processor_seconds() - self.used > CALL_SECONDS)

    def end(self, kill: bool) -> str:
        """Wait for the process; "" or how it died."""
        if kill:
            os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        os.close(self.pipe)
        if kill:
            return f"took longer than {CALL_SECONDS:.0f} s"
        if self.done:
            return ""
        if os.WIFSIGNALED(status):
            return f"ended the process by {signal.Signals(os.WTERMSIG(status)).name}"
        return f"ended the process with status {os.WEXITSTATUS(status)}"


def fuzz(
    library: Any, seed: int, first: int, calls: int, workers: int = 2, reached: bool = False
) -> list[tuple[int, str]]:
    """The calls that went wrong, by number (and "reached" for those that raised nothing, if asked for)."""
    targets = find_targets(library)

    def work(number: int) -> str:
        return run_call(library, call_text(targets, seed, number), reached)[:300]

    return in_workers(work, first, calls, workers)


def in_workers(
    work: Callable[[int], str], first: int, calls: int, workers: int = 2, block: int = 2000
) -> list[tuple[int, str]]:
    """What `work` says is wrong with calls, by number, and how the process ended where it did."""
    waiting = [(i, min(i + block, first + calls)) for i in range(first, first + calls, block)][::-1]
    running: dict[int, Worker] = {}
    wrong: list[tuple[int, str]] = []
    while waiting or running:
        while waiting and len(running) < workers:
            made = Worker(work, *waiting.pop())
            running[made.pipe] = made
        ready, _, _ = select.select(list(running), [], [], 1.0)
        for pipe, process in list(running.items()):
            alive = process.read() if pipe in ready else True
            if alive and not process.late():
                continue
            del running[pipe]
            how = process.end(kill=alive)
            wrong += process.wrong
            if how:
                wrong.append((process.number, how))
                if process.number + 1 < process.last:
                    waiting.append((process.number + 1, process.last))
    return sorted(wrong)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--calls", type=int, default=200000, help="how many (default 200000)")
    parser.add_argument("--seed", type=int, default=0, help="decides all calls (default 0)")
    parser.add_argument("--first", type=int, default=0, help="number of the first call")
    parser.add_argument("--workers", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--library", default="bulssi", help="module to test (default bulssi)")
    parser.add_argument("--show", type=int, metavar="N", help="only print call N")
    parser.add_argument("--reached", action="store_true", help="list what no call got through to without an error")
    parser.add_argument("--run", type=int, metavar="N", help="only run call N, in this process")
    options = parser.parse_args(arguments)
    library = __import__(options.library)
    targets = find_targets(library)
    if options.show is not None or options.run is not None:
        text = call_text(targets, options.seed, options.show if options.run is None else options.run)
        print(text, flush=True)
        if options.run is not None:
            print(run_call(library, text) or "nothing wrong")
        return 0
    start = time.monotonic()
    wrong = fuzz(library, options.seed, options.first, options.calls, options.workers, options.reached)
    if options.reached:
        got = {target_of(targets, options.seed, number).text for number, how in wrong if how == "reached"}
        tried = {target_of(targets, options.seed, n).text for n in range(options.first, options.first + options.calls)}
        print("\n".join(f"never without an error: {text}" for text in sorted(tried - got)))
        through = sum(how == "reached" for _, how in wrong)
        print(f"{through} calls raised nothing, of {len(got)} functions out of {len(tried)} tried")
        wrong = [(number, how) for number, how in wrong if how != "reached"]
    for number, how in wrong:
        print(f"call {number}: {how}\n    {call_text(targets, options.seed, number)}")
    spent = time.monotonic() - start
    print(f"{options.calls} calls of {len(targets)} functions in {spent:.0f} s: {len(wrong)} went wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
