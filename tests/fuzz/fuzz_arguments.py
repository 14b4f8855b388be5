"""Random arguments for every public function and method: an exception is fine, a crash or a hang is not.

The functions are found by looking: the functions of the library's modules, the methods of Tensor, and the classes of
nn, which are made and called. Each call is one line of Python that is decided by the seed and its number. Calls run in
forked workers with a limit on memory and on time. Reported are calls that end the process, take too long, or raise
SystemError (a broken promise between the core and the interpreter); and that a plain sum no longer works afterwards.

    python tests/fuzz/fuzz_arguments.py --calls 200000 --seed 0
    python tests/fuzz/fuzz_arguments.py --seed 0 --show 4711      # the text of one call
    python tests/fuzz/fuzz_arguments.py --seed 0 --run 4711       # run it here
"""

from __future__ import annotations

import argparse
import inspect
import os
import random
import resource
import select
import signal
import sys
import time
import types
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

MODULES = [
    "",
    "special",
    "linalg",
    "nn.functional",
    "nn.init",
    "nn.utils",
    "autograd",
    "autograd.functional",
    "testing",
]

# Not called: they change the state of the process for later calls, use files or devices, or wait for something.
LEFT_OUT = {
    "set_num_threads", "set_num_interop_threads", "set_default_dtype", "set_default_device", "set_printoptions",
    "set_default_tensor_type", "set_flush_denormal", "use_deterministic_algorithms", "set_grad_enabled", "save", "load",
    "set_anomaly_enabled", "set_detect_anomaly", "share_memory_", "compile", "from_file", "set_rng_state", "seed",
    "set_warn_always", "set_deterministic_debug_mode", "set_float32_matmul_precision", "assert_close", "make_tensor",
}  # fmt: skip

MEMORY_LIMIT = 3 << 30  # bytes that a worker may map
SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")
# What a call may take of the processors; the machine may be busy with other things, or the process stopped, and a call
# that waits for something uses none, so by the clock there is a limit as well. Sanitized code is several times slower.
CALL_SECONDS = 60.0 if SANITIZED else 20.0
CLOCK_SECONDS = 300.0


# ---- what to call ----------------------------------------------------------------------------------------------------


class Target(NamedTuple):
    text: str  # how the call begins: "torch.add", "{tensor}.add", "torch.nn.Linear"
    kind: str  # "function", "method" or "module"
    parameters: tuple[str, ...]


def parameters_of(function: Any) -> tuple[str, ...]:
    try:
        return tuple(name for name in inspect.signature(function).parameters if name not in ("self", "args", "kwargs"))
    except (TypeError, ValueError):
        return ()


def find_targets(library: Any) -> list[Target]:
    """Everything public that can be called, in a fixed order."""
    found: dict[str, Target] = {}
    for path in MODULES:
        module = library
        for part in filter(None, path.split(".")):
            module = getattr(module, part, None)
        if module is None:
            continue
        for name in sorted(dir(module)):
            value = getattr(module, name, None)
            if name.startswith("_") or name in LEFT_OUT or not callable(value) or isinstance(value, type):
                continue
            if isinstance(value, types.ModuleType) or getattr(value, "__module__", "") in ("builtins", "typing"):
                continue
            text = ".".join(filter(None, ["torch", path, name]))
            found[text] = Target(text, "function", parameters_of(value))
    for name in sorted(dir(library.Tensor)):
        value = getattr(library.Tensor, name, None)
        if name in LEFT_OUT or not callable(value) or isinstance(value, type):
            continue
        if name.startswith("_") and not (name.startswith("__") and hasattr(value, "__objclass__")):
            continue
        if name in ("__init__", "__new__", "__init_subclass__", "__subclasshook__", "__del__", "__reduce_ex__"):
            continue
        found[f"Tensor.{name}"] = Target("{tensor}." + name, "method", parameters_of(value))
    nn = getattr(library, "nn", None)
    for name in sorted(dir(nn)) if nn is not None else ():
        value = getattr(nn, name, None)
        if isinstance(value, type) and issubclass(value, nn.Module) and not name.startswith("_"):
            found[f"torch.nn.{name}"] = Target(f"torch.nn.{name}", "module", parameters_of(value))
    return list(found.values())


# ---- with what -------------------------------------------------------------------------------------------------------

DTYPES = ["float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "bool"]
SMALL_INTS = ["0", "1", "-1", "2", "3", "-2", "4", "5", "7"]
LARGE_INTS = ["100", "-100", "2**31", "-2**31", "2**31-1", "2**63-1", "-2**63", "2**64", "10**30", "2**40", "65536"]
FLOATS = [
    "0.0",
    "-0.0",
    "0.5",
    "1.0",
    "-1.5",
    "float('nan')",
    "float('inf')",
    "-float('inf')",
    "1e308",
    "1e-320",
    "2.7",
]
STRINGS = [
    "''",
    "'mean'",
    "'sum'",
    "'none'",
    "'reflect'",
    "'constant'",
    "'bilinear'",
    "'abc'",
    "'cpu'",
    "'cuda'",
    "'tanh'",
]
STRINGS += ["'ij,jk->ik'", "'i->'", "'\\udc80'", "'x' * 5000", "'floor'", "'trunc'", "'amax'", "'fro'", "'\\0'"]
ODD = [
    "None",
    "True",
    "False",
    "...",
    "object()",
    "{}",
    "{'dim': 1}",
    "slice(None)",
    "slice(0, 10, 2)",
    "slice(2, 0, -1)",
]
ODD += ["lambda *a: a[0]", "1j", "b'ab'", "range(3)", "int", "torch.Tensor", "NotImplemented", "iter([1, 2])", "set()"]
ODD += ["torch.device('cpu')", "torch.strided", "torch.Size([2, 3])", "torch.Generator()", "torch.contiguous_format"]
SHAPES = ["()", "(0,)", "(1,)", "(3,)", "(4,)", "(2, 3)", "(3, 3)", "(3, 4)", "(0, 3)", "(2, 0)", "(1, 1)", "(2, 3, 4)"]
SHAPES += ["(1, 3, 5, 5)", "(2, 2, 3, 4)", "(1, 2, 4, 4, 4)", "(1,) * 12", "(7, 1)", "(1, 7)", "(64,)", "(30, 30)"]

INT_NAMES = {"dim", "axis", "dims", "dim0", "dim1", "start", "end", "step", "k", "n", "offset", "diagonal", "groups"}
INT_NAMES |= {"num_classes", "sections", "chunks", "split_size", "length", "shifts", "repeats", "bins", "correction"}
SIZE_NAMES = {"size", "shape", "stride", "padding", "dilation", "kernel_size", "output_size", "normalized_shape", "pad"}


class Arguments:
    """Texts of random arguments."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def tensor(self) -> str:
        r = self.rng
        shape, dtype = r.choice(SHAPES), r.choice(DTYPES if r.random() < 0.5 else ["float32"])
        floating = "float" in dtype
        made = r.choice(["ones", "zeros", "empty_like_ones", "arange", "values"])
        if made == "arange":
            text = f"(torch.arange(torch.ones({shape}).numel()).reshape({shape}) - 2).to(torch.{dtype})"
        elif made == "values":
            value = r.choice([f for f in FLOATS if f != "1e308"] if floating else [*SMALL_INTS, "100", "-100"])
            value = "1" if dtype == "uint8" and value.startswith("-") else value
            text = f"torch.full({shape}, {value}).to(torch.{dtype})"
        else:
            text = f"torch.{'zeros' if made == 'zeros' else 'ones'}({shape}, dtype=torch.{dtype})"
        if floating and r.random() < 0.3:
            text += ".requires_grad_()"
            if r.random() < 0.5:
                text = f"({text} * 1)"
        dims = len(eval(shape))
        if r.random() < 0.25:
            views = [".data", ".unsqueeze(0)", f".unsqueeze(0).expand(3, *[-1] * {dims})"]
            views += [".transpose(0, -1)", "[..., ::2]", ".flip(0)"] if dims else []
            text += r.choice(views)
        if r.random() < 0.06 and shape not in ("()", "(0,)", "(0, 3)", "(2, 0)"):
            text += r.choice([".unfold(0, 1, 1)", ".detach()", ".as_strided((2, 2), (0, 0))", ".flatten()[1:]"])
        return text

    def sizes(self) -> str:
        r = self.rng
        items = [r.choice(SMALL_INTS if r.random() < 0.85 else LARGE_INTS) for _ in range(r.randint(0, 4))]
        return r.choice(["({0},)", "[{0}]", "({0},)"]).format(", ".join(items)) if items else r.choice(["()", "[]"])

    def nested(self, depth: int = 0) -> str:
        r = self.rng
        items = [
            self.nested(depth + 1)
            if depth < 3 and r.random() < 0.4
            else r.choice([*SMALL_INTS, *FLOATS, "True", "None"])
            for _ in range(r.randint(0, 3))
        ]
        return "[" + ", ".join(items) + "]"

    def any(self) -> str:
        x = self.rng.random()
        for share, make in [
            (0.42, self.tensor),
            (0.60, lambda: self.rng.choice(SMALL_INTS)),
            (0.66, lambda: self.rng.choice(LARGE_INTS)),
            (0.73, lambda: self.rng.choice(FLOATS)),
            (0.80, self.sizes),
            (0.84, lambda: self.rng.choice(STRINGS)),
            (0.89, lambda: "torch." + self.rng.choice(DTYPES)),
            (0.91, self.nested),
            (0.94, lambda: f"[{self.tensor()}, {self.tensor()}]"),
            (1.01, lambda: self.rng.choice(ODD)),
        ]:
            if x < share:
                return make()
        raise AssertionError

    def named(self, name: str) -> str:
        """Something that fits the parameter's name, mostly."""
        r = self.rng
        if r.random() < 0.25:
            return self.any()
        if name in INT_NAMES or name.startswith(("num_", "in_", "out_", "hidden")):
            return r.choice(SMALL_INTS if r.random() < 0.9 else LARGE_INTS)
        if name in SIZE_NAMES:
            return self.sizes() if r.random() < 0.5 else r.choice(SMALL_INTS)
        if name == "dtype":
            return "torch." + r.choice(DTYPES)
        if name in ("tensors", "params", "parameters"):
            return f"[{self.tensor()}, {self.tensor()}]"
        if name in ("keepdim", "inplace", "training", "bias", "largest", "descending", "unbiased", "affine"):
            return r.choice(["True", "False"])
        if name in ("input", "other", "weight", "target", "index", "mask", "src", "source", "out", "mat2", "tensor"):
            return self.tensor()
        return self.any()


def call_text(targets: list[Target], seed: int, number: int) -> str:
    """Call `number` of this seed, as a line of Python."""
    rng = random.Random(f"{seed}:{number}")
    target = rng.choice(targets)
    make = Arguments(rng)
    positional, keywords = [], []
    names = list(target.parameters)
    if names and rng.random() < 0.7:
        if target.kind == "method" and names[0] == "input":
            names = names[1:]
        count = rng.randint(0, min(len(names), 5))
        positional = [make.named(name) for name in names[:count]]
        keywords = [f"{name}={make.named(name)}" for name in names[count:] if rng.random() < 0.25]
    elif rng.random() < 0.85:
        kinds = rng.choice(
            ["", "t", "t", "tt", "tt", "ti", "ts", "l", "li", "tit", "ttt", "tii", "f", "tf", "titt", "s"]
        )
        pick = {"t": make.tensor, "i": lambda: rng.choice(SMALL_INTS), "s": make.sizes, "f": lambda: rng.choice(FLOATS)}
        pick["l"] = lambda: f"[{make.tensor()}, {make.tensor()}]"
        positional = [pick[kind]() for kind in (kinds[1:] if target.kind == "method" else kinds)]
    else:
        positional = [make.any() for _ in range(rng.choice([0, 1, 1, 2, 2, 2, 3, 3, 4, 6]))]
        if rng.random() < 0.2:
            name = rng.choice(["dim", "keepdim", "dtype", "out", "device", "requires_grad", "abc", "size"])
            keywords = [f"{name}={make.named(name)}"]
    head = target.text.replace("{tensor}", make.tensor() if "{tensor}" in target.text else "")
    text = f"{head}({', '.join([*positional, *keywords])})"
    return f"{text}({make.tensor()})" if target.kind == "module" else text


# ---- calling ---------------------------------------------------------------------------------------------------------


def use(library: Any, result: Any) -> None:
    """Look at a result, so that a broken one shows."""
    if isinstance(result, library.Tensor):
        if result.numel() <= 2000:
            repr(result)
        if result.requires_grad and result.numel() <= 2000:
            result.sum().backward()
    elif isinstance(result, (tuple, list)) and len(result) <= 20:
        for item in result:
            use(library, item)


def run_call(library: Any, text: str) -> str:
    """Run one call; "" or what is wrong."""
    try:
        use(library, eval(text, {"torch": library}))
    except SystemError as error:
        return f"SystemError: {error}"
    except BaseException as error:
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            return f"raised {type(error).__name__}"
    library.set_grad_enabled(True)
    try:
        total = float((library.ones(3) + 1).sum())
    except Exception as error:
        return f"afterwards ones(3) fails with {type(error).__name__}: {error}"
    return "" if total == 6.0 else f"afterwards (ones(3) + 1).sum() is {total}"


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


def fuzz(library: Any, seed: int, first: int, calls: int, workers: int = 2) -> list[tuple[int, str]]:
    """The calls that went wrong, by number."""
    targets = find_targets(library)
    return in_workers(lambda number: run_call(library, call_text(targets, seed, number))[:300], first, calls, workers)


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
    wrong = fuzz(library, options.seed, options.first, options.calls, options.workers)
    for number, how in wrong:
        print(f"call {number}: {how}\n    {call_text(targets, options.seed, number)}")
    spent = time.monotonic() - start
    print(f"{options.calls} calls of {len(targets)} functions in {spent:.0f} s: {len(wrong)} went wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
