"""A reader of pickles that runs nothing: it knows data, and of names only those it is given.

The standard library's unpickler calls whatever a file names. This one is a small machine over the opcodes of protocols
2 to 5 which builds containers, numbers and strings, and leaves every global name, persistent id, call and state to
functions of its caller. A file can make it raise UnpicklingError, not run code, exhaust memory by a few bytes or
overflow the stack.
"""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

UnpicklingError = pickle.UnpicklingError

_MARK = object()
_MAX_KEY_DEPTH = 64  # hash() of nested tuples recurses in C
_PLAIN_KEYS = (str, int, float, bool, bytes, complex, type(None))


class Unpickler:
    """Reads one pickle from `data` at `position` (which then is where it ended).

    Args:
        data: the bytes.
        find_global: (module, name) -> object, or raises UnpicklingError; what a name in the file stands for.
        call: (function, args) -> object; for REDUCE, with what find_global gave.
        new: (class, args, kwargs) -> object; for NEWOBJ.
        build: (object, state) -> None; for BUILD, on what is no plain container.
        persistent_load: (id) -> object.
    """

    def __init__(
        self,
        data: bytes,
        *,
        find_global: Callable[[str, str], Any],
        call: Callable[[Any, tuple[Any, ...]], Any],
        new: Callable[[Any, tuple[Any, ...], dict[str, Any]], Any],
        build: Callable[[Any, Any], None],
        persistent_load: Callable[[Any], Any],
        position: int = 0,
    ) -> None:
        self.data = data
        self.position = position
        self.find_global = find_global
        self.call = call
        self.new = new
        self.build = build
        self.persistent_load = persistent_load
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def load(self) -> Any:
        """The object. Raises UnpicklingError for whatever is wrong with the bytes."""
        start = self.position
        try:
            return self._run()
        except UnpicklingError:
            raise
        except (IndexError, KeyError, ValueError, TypeError, struct.error, OverflowError, AttributeError) as error:
            raise UnpicklingError(
                f"the pickle is damaged near byte {self.position - start}: {type(error).__name__}: {error}"
            ) from error

    def _run(self) -> Any:
        handlers = _HANDLERS
        data = self.data
        while True:
            if self.position >= len(data):
                raise UnpicklingError("the pickle ends before its STOP opcode; the file is truncated")
            code = data[self.position]
            self.position += 1
            if code == 0x2E:  # STOP
                if self.marks:
                    raise UnpicklingError("the pickle ends inside a container")
                return self.stack.pop()
            handler = handlers.get(code)
            if handler is None:
                raise UnpicklingError(f"Unsupported operand {code} ({bytes([code])!r}) at byte {self.position - 1}")
            handler(self)

    # ---- bytes

    def take(self, count: int) -> bytes:
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise UnpicklingError(
                f"the pickle asks for {count} bytes at byte {self.position}, past its end; the file is truncated"
            )
        out = self.data[self.position : end]
        self.position = end
        return bytes(out)

    def unpack(self, layout: str) -> int:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> str:
        end = bytes(self.data[self.position : self.position + 4096]).find(b"\n")
        if end < 0:
            raise UnpicklingError("the pickle has a name without end")
        out = self.take(end + 1)[:-1]
        return out.decode("utf-8")

    # ---- stack

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise UnpicklingError(f"the pickle pops from an empty stack at byte {self.position - 1}")
        return self.stack.pop()

    def pop_mark(self) -> list[Any]:
        if not self.marks:
            raise UnpicklingError(f"the pickle has no mark at byte {self.position - 1}")
        at = self.marks.pop()
        items = self.stack[at + 1 :]
        del self.stack[at:]
        return items

    def top(self) -> Any:
        value = self.stack[-1]
        if value is _MARK:
            raise UnpicklingError(f"the pickle uses a mark as a value at byte {self.position - 1}")
        return value


def check_key(key: Any) -> Any:
    """`key` when it may be hashed safely: a plain value, or tuples of such a few levels deep."""
    if type(key) in _PLAIN_KEYS:
        return key
    level, depth = [key], 0
    while level:
        depth += 1
        if depth > _MAX_KEY_DEPTH:
            raise UnpicklingError(f"a key of a dict or set is nested more than {_MAX_KEY_DEPTH} levels deep")
        level = [item for part in level if isinstance(part, (tuple, frozenset)) for item in part]
        if len(level) > 100_000:
            raise UnpicklingError("a key of a dict or set has more than 100000 parts")
    return key


def _mark(m: Unpickler) -> None:
    m.marks.append(len(m.stack))
    m.stack.append(_MARK)


def _pop_one(m: Unpickler) -> None:
    if m.stack and m.stack[-1] is _MARK:
        m.pop_mark()
    else:
        m.pop()


def _set_items(m: Unpickler, items: list[Any]) -> None:
    target = m.top()
    if not isinstance(target, dict):
        raise UnpicklingError(f"can only set items of a dict, not of {type(target).__name__}")
    if len(items) % 2:
        raise UnpicklingError("the pickle has a key without a value")
    for i in range(0, len(items), 2):
        target[check_key(items[i])] = items[i + 1]


def _append(m: Unpickler, items: list[Any]) -> None:
    target = m.top()
    if type(target) is not list:
        raise UnpicklingError(f"Can only append to lists, but got {type(target)}")
    target.extend(items)


def _add_items(m: Unpickler) -> None:
    items = m.pop_mark()
    target = m.top()
    if type(target) is not set:
        raise UnpicklingError(f"can only add items to a set, not to {type(target).__name__}")
    target.update(check_key(item) for item in items)


def _global(m: Unpickler, module: Any, name: Any) -> None:
    if not (isinstance(module, str) and isinstance(name, str)):
        raise UnpicklingError("the pickle names a global by something that is no string")
    m.push(m.find_global(module, name))


def _stack_global(m: Unpickler) -> None:
    name, module = m.pop(), m.pop()
    _global(m, module, name)


def _reduce(m: Unpickler) -> None:
    args, function = m.pop(), m.pop()
    if type(args) is not tuple:
        raise UnpicklingError("the pickle calls something without a tuple of arguments")
    m.push(m.call(function, args))


def _new(m: Unpickler, with_kwargs: bool) -> None:
    kwargs = m.pop() if with_kwargs else {}
    args, cls = m.pop(), m.pop()
    if type(args) is not tuple or type(kwargs) is not dict:
        raise UnpicklingError("the pickle makes an object without a tuple of arguments")
    m.push(m.new(cls, args, kwargs))


def _build(m: Unpickler) -> None:
    state = m.pop()
    target = m.top()
    if type(target) is OrderedDict:
        target.__dict__.update(state)
    else:
        m.build(target, state)


def _get(m: Unpickler, index: int) -> None:
    if index not in m.memo:
        raise UnpicklingError(f"the pickle refers to object {index}, which it has not made")
    m.push(m.memo[index])


def _put(m: Unpickler, index: int) -> None:
    m.memo[index] = m.top()


def _proto(m: Unpickler) -> None:
    version = m.take(1)[0]
    if version > 5:
        raise UnpicklingError(f"pickle protocol {version} is not known (2 to 5 are)")


def _tuple(m: Unpickler, count: int) -> None:
    items = [m.pop() for _ in range(count)]
    m.push(tuple(items[::-1]))


def _text(m: Unpickler, count: int) -> None:
    m.push(m.take(count).decode("utf-8", "surrogatepass"))


def _mark_dict(m: Unpickler) -> None:
    items = m.pop_mark()
    m.push({})
    _set_items(m, items)


_HANDLERS: dict[int, Callable[[Unpickler], None]] = {
    ord(code): handler
    for code, handler in {
        b"\x80": _proto,
        b"\x95": lambda m: void(m.take(8)),  # FRAME
        b"(": _mark,
        b"0": _pop_one,
        b"1": lambda m: void(m.pop_mark()),
        b"2": lambda m: m.push(m.top()),
        b"N": lambda m: m.push(None),
        b"\x88": lambda m: m.push(True),
        b"\x89": lambda m: m.push(False),
        b"J": lambda m: m.push(m.unpack("<i")),
        b"K": lambda m: m.push(m.take(1)[0]),
        b"M": lambda m: m.push(m.unpack("<H")),
        b"\x8a": lambda m: m.push(int.from_bytes(m.take(m.take(1)[0]), "little", signed=True)),
        b"G": lambda m: m.push(m.unpack(">d")),
        b"X": lambda m: _text(m, m.unpack("<I")),
        b"\x8c": lambda m: _text(m, m.take(1)[0]),
        b"\x8d": lambda m: _text(m, m.unpack("<Q")),
        b"U": lambda m: m.push(m.take(m.take(1)[0]).decode("latin1")),  # a str of Python 2
        b"T": lambda m: m.push(m.take(m.unpack("<i")).decode("latin1")),
        b"B": lambda m: m.push(m.take(m.unpack("<I"))),
        b"C": lambda m: m.push(m.take(m.take(1)[0])),
        b"\x8e": lambda m: m.push(m.take(m.unpack("<Q"))),
        b"\x96": lambda m: m.push(bytearray(m.take(m.unpack("<Q")))),
        b")": lambda m: m.push(()),
        b"\x85": lambda m: _tuple(m, 1),
        b"\x86": lambda m: _tuple(m, 2),
        b"\x87": lambda m: _tuple(m, 3),
        b"t": lambda m: m.push(tuple(m.pop_mark())),
        b"]": lambda m: m.push([]),
        b"l": lambda m: m.push(m.pop_mark()),
        b"}": lambda m: m.push({}),
        b"d": _mark_dict,
        b"\x8f": lambda m: m.push(set()),
        b"\x90": _add_items,
        b"\x91": lambda m: m.push(frozenset([check_key(item) for item in m.pop_mark()])),
        b"a": lambda m: _append(m, [m.pop()]),
        b"e": lambda m: _append(m, m.pop_mark()),
        b"s": lambda m: _set_items(m, [m.pop(), m.pop()][::-1]),
        b"u": lambda m: _set_items(m, m.pop_mark()),
        b"c": lambda m: _global(m, m.line(), m.line()),
        b"\x93": _stack_global,
        b"R": _reduce,
        b"\x81": lambda m: _new(m, False),
        b"\x92": lambda m: _new(m, True),
        b"b": _build,
        b"Q": lambda m: m.push(m.persistent_load(m.pop())),
        b"h": lambda m: _get(m, m.take(1)[0]),
        b"j": lambda m: _get(m, m.unpack("<I")),
        b"q": lambda m: _put(m, m.take(1)[0]),
        b"r": lambda m: _put(m, m.unpack("<I")),
        b"\x94": lambda m: _put(m, len(m.memo)),
    }.items()
}


def void(_: object) -> None:
    """Drops a value."""
