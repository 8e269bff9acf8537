"""Records of signatures, and the functions that have them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from contextvars import Context, ContextVar
from typing import Any

import numpy as np

from tracejit.backend.calls import Node, Result
from tracejit.backend.heap_type import (
    Room,
    call_with,
    callable_subclass,
    is_supported,
    room_of,
    set_table,
)
from tracejit_llvm.buffers import SMALL
from tracejit_llvm.engine import Engine
from tracejit_llvm.entry.code import Field, call_text
from tracejit_llvm.entry.guards import Code
from tracejit_llvm.entry.offsets import (
    HEADER,
    NEW_FROM_DESCR,
    is_as_known,
    numpy_function,
    slot_offset,
)
from tracejit_llvm.executable import NativeExecutable
from tracejit_llvm.layout import ADDRESS_OFFSET, ITEMS_OFFSET

__all__ = ["NativeCalls", "native_calls"]

_FUNCTIONS = (
    "Py_IncRef", "Py_DecRef", "PyErr_Clear", "PyContextVar_Get", "PyObject_Vectorcall",
    "PyObject_CallNoArgs", "PyTuple_Size", "PyTuple_New", "PyTuple_SetItem", "PyList_New",
    "PyList_SetItem", "PyDict_New", "PyDict_Size", "PyDict_GetItemWithError", "PyDict_SetItem",
    "PyLong_AsLongLongAndOverflow", "PyType_GenericAlloc", "PyObject_GC_UnTrack",
)  # fmt: skip
_LEAVES = {"float": Code.FLOAT, "int": Code.INT, "bool": Code.BOOL}
_SEQUENCES = {"tuple": Code.TUPLE, "list": Code.LIST}


def _words(numbers: Sequence[int]) -> Any:
    return (ctypes.c_int64 * max(len(numbers), 1))(*numbers)


def _pointers_as_list(addresses: Any) -> tuple[int, Any]:
    """Return the address of what the driver takes for a list of arrays at these addresses.

    Parameters
    ----------
    addresses : ctypes array of words
        The address of the elements of each array.
    """
    start = ctypes.addressof(addresses)
    items = _words([start + 8 * n - ADDRESS_OFFSET for n in range(len(addresses))])
    head = _words([0] * (ITEMS_OFFSET // 8 + 1))
    head[ITEMS_OFFSET // 8] = ctypes.addressof(items)
    return ctypes.addressof(head), (head, items)


class Record:
    """What native code knows of one signature.

    Attributes
    ----------
    words : ctypes array
        The fields.
    inputs, scalars : ctypes array
        Addresses of the inputs of the last call, and Python scalars among them.
    """

    def __init__(
        self,
        arguments: Sequence[Node],
        result: Node,
        outputs: Sequence[Result],
        anywhere: bool,
        holds: bool,
    ) -> None:
        self._kept: list[Any] = [arguments, result, outputs]
        guard: list[int] = []
        count = sum(self._guard(node, guard) for node in arguments)
        program: list[int] = []
        self._result(result, program)
        self.inputs, self.scalars = _words([0] * count), _words([0] * count)
        self.outputs = _words([0] * len(outputs))
        kinds: list[int] = []
        for out in outputs:
            lengths = (ctypes.c_ssize_t * max(len(out.shape), 1))(*out.shape)
            self._kept.append(lengths)
            large = int(np.prod(out.shape)) * out.dtype.itemsize >= SMALL
            holds = holds or large
            maker = id(out.allocator) if large else 0
            kinds += [maker, id(out.dtype), len(out.shape), ctypes.addressof(lengths), id(out.aval)]
        self.words = _words([0] * len(Field))
        tables = {
            Field.GUARD: _words(guard),
            Field.INPUTS: self.inputs,
            Field.SCALARS: self.scalars,
            Field.HELD: _words([0] * count),
            Field.OUTPUTS: self.outputs,
            Field.MADE: _words([0] * len(outputs)),
            Field.KINDS: _words(kinds),
            Field.RESULT: _words(program),
        }
        self._kept.append(tables)
        for field, table in tables.items():
            self.words[field] = ctypes.addressof(table)
        self.words[Field.ARGUMENTS] = len(arguments)
        self.words[Field.ANYWHERE] = int(anywhere)
        self.words[Field.INPUT_COUNT] = count
        self.words[Field.OUTPUT_COUNT] = len(outputs)
        self.words[Field.HOLDS] = int(holds)

    @property
    def busy(self) -> bool:
        """Whether a call is in progress."""
        return bool(self.words[Field.BUSY])

    def run_by(self, address: int, context: int, left: Any, kept: Any = None) -> None:
        """Set what runs the plan, and how often until a run must go the long way."""
        self.words[Field.RUN], self.words[Field.CONTEXT] = address, context
        self.words[Field.LEFT] = ctypes.addressof(left)
        self._kept += [left, kept]

    def _guard(self, node: Node, words: list[int]) -> int:
        """Append the instructions for an argument; return how many inputs it has."""
        if node.kind == "array":
            cls, aval = node.key
            words += [Code.OBJECT, id(cls), id(aval)]
            return 1
        if node.kind == "ndarray":
            dtype, shape = node.key
            words += [Code.NDARRAY, id(dtype), len(shape), *shape]
            return 1
        if node.kind in _LEAVES:
            words.append(_LEAVES[node.kind])
            return 1
        self._container(node, words)
        return sum(self._guard(item, words) for item in node.items)

    def _result(self, node: Node, words: list[int]) -> None:
        if node.kind == "array":
            words.append(Code.OBJECT)
            return
        self._container(node, words)
        for item in node.items:
            self._result(item, words)

    def _container(self, node: Node, words: list[int]) -> None:
        if node.kind == "none":
            words.append(Code.NONE)
        elif node.kind == "dict":
            words += [Code.DICT, len(node.key), *map(id, node.key)]
        elif node.kind == "holder":
            words += [Code.HOLDER, id(node.key[0]), slot_offset(*node.key)]
        else:
            words += [_SEQUENCES[node.kind], len(node.items)]


class NativeCalls:
    """Answers calls by records; see :class:`tracejit.backend.calls.FastCalls`.

    Parameters
    ----------
    engine : Engine
        Compiles the module.
    run_address : int
        The driver.
    array_type : type
        The class of arrays, with slots ``aval`` and ``buf``.
    active, place : ContextVar
        A call is only answered where the first is None, and the second too unless the place of
        the signature is settled.
    """

    def __init__(
        self,
        engine: Engine,
        run_address: int,
        array_type: type,
        active: ContextVar[Any],
        place: ContextVar[Any],
    ) -> None:
        self._engine = engine
        self._run_address = run_address
        self._array_type: Any = array_type
        self._variables = active, place
        self._rooms: dict[type, tuple[Room, int, Any]] = {}
        self._entries: dict[str, dict[str, int]] = {}
        self._nothing = 0

    def _functions(self, room: Room) -> dict[str, int]:
        """Return the addresses of the functions of the module, compiled once for a room."""
        text = call_text(
            {
                "HEADER": HEADER,
                "ITEMS": tuple.__basicsize__,
                "AVAL": slot_offset(self._array_type, "aval"),
                "BUF": slot_offset(self._array_type, "buf"),
                "TABLE": room.table,
                "COUNT": room.length,
                "SLOW": room.slow,
            }
        )
        found = self._entries.get(text)
        if found is None:
            names = ["fast_call", "nothing"]
            found = self._entries[text] = self._engine.functions(text, names, self._symbols())
        return found

    def _symbols(self) -> dict[str, int]:
        known: dict[str, Any] = {
            "type_array": self._array_type,
            "type_ndarray": np.ndarray,
            "type_float": float,
            "type_int": int,
            "type_tuple": tuple,
            "type_list": list,
            "type_dict": dict,
            "object_none": None,
            "object_true": True,
            "object_false": False,
            "active": self._variables[0],
            "place": self._variables[1],
        }
        functions = {
            name: ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0
            for name in _FUNCTIONS
        }
        objects = {name: id(x) for name, x in known.items()}
        return {**functions, **objects, "array_new": numpy_function(NEW_FROM_DESCR)}

    def prepare(self, function: Any) -> None:
        """Have calls of an object go to native code first; it has no records yet."""
        kind = type(function)
        if kind not in self._rooms:
            (base,) = kind.__bases__
            room = room_of(base)
            found = self._functions(room)
            self._nothing = found["nothing"]
            self._rooms[kind] = room, found["fast_call"], base.__call__
        room, address, slow = self._rooms[kind]
        set_table(function, room, 0, 0)
        call_with(function, room, address, slow)

    def record(
        self,
        arguments: Sequence[Node],
        result: Node,
        outputs: Sequence[Result],
        executable: Any,
        anywhere: bool,
    ) -> Record | None:
        """Return the record of a signature, or None if its calls are left to Python."""
        if not isinstance(executable, NativeExecutable) or not executable.is_plain:
            return None
        record = Record(arguments, result, outputs, anywhere, executable.lets_go)
        inputs, kept_inputs = _pointers_as_list(record.inputs)
        made, kept_outputs = _pointers_as_list(record.outputs)
        frame = executable.frame_for(inputs, made)
        kept = executable, frame, kept_inputs, kept_outputs
        record.run_by(self._run_address, frame.address, executable.runs_left, kept)
        return record

    def install(self, function: Any, records: Sequence[Any]) -> None:
        """Make these the records of an object, the first one tried first."""
        room = self._rooms[type(function)][0]
        table = _words([ctypes.addressof(r.words) for r in records])
        set_table(function, room, ctypes.addressof(table), len(records))
        # A record that a call is using stays until a later change finds it idle.
        _, old = function.__dict__.get("_native", (None, ()))
        used = [r for r in old if r.busy and all(r is not x for x in records)]
        function.__dict__["_native"] = table, [*records, *used]

    def is_right(self) -> bool:
        """Whether calls through a type of ours give what they should."""

        class Holder:
            __slots__ = ("item",)
            item: Any

        class Echo:
            def __call__(self, *args: Any, **kwargs: Any) -> Any:
                return "slow", args, kwargs

        function: Any = callable_subclass(Echo)()
        if function(1, z=1) != ("slow", (1,), {"z": 1}):
            return False
        self.prepare(function)
        array, number = np.arange(3.0), np.dtype(np.float64)
        nodes = (
            Node("tuple", None, (Node("ndarray", (number, (3,))), Node("float"))),
            Node("dict", ("x", "y"), (Node("int"), Node("none"))),
            Node("list", None, (Node("bool"), Node("holder", (Holder, "item"), (Node("int"),)))),
        )
        holder = Holder()
        holder.item = 5
        aval = object()
        out: Any = Result(aval, (2, 1), number, list)  # type: ignore[arg-type]
        held = Node("holder", (Holder, "item"), (Node("array"),))
        result = Node("dict", ("a",), (Node("tuple", None, (held, Node("none"))),))
        record = Record(nodes, result, (out,), False, True)
        record.run_by(self._nothing, 0, ctypes.c_int64(1000))
        args: Any = ((array, 0.5), {"x": -7, "y": None}, [True, holder])
        if function(*args, z=1) != ("slow", args, {"z": 1}):
            return False
        self.install(function, [record])
        wrong: Any = ((array, 0.5), {"x": -7, "y": None}, [1, holder])
        if function(*wrong) != ("slow", wrong, {}):
            return False
        made = function(*args)["a"][0]
        if type(made) is not Holder:
            return False
        made = made.item
        scalars = (ctypes.c_double.from_buffer(record.scalars).value, *record.scalars[1:4])
        return (
            isinstance(made, self._array_type)
            and made.aval is aval
            and type(made.buf) is np.ndarray
            and made.buf.shape == (2, 1)
            and made.buf.dtype is number
            and record.inputs[0] == array.ctypes.data
            and record.outputs[0] == made.buf.ctypes.data
            and scalars == (0.5, -7, 1, 5)
        )


def native_calls(
    engine: Engine,
    run_address: int,
    array_type: type,
    active: ContextVar[Any],
    place: ContextVar[Any],
) -> NativeCalls | None:
    """Return what answers calls, or None where that is switched off or cannot be relied on."""
    if not (is_supported() and is_as_known()):
        return None
    calls = NativeCalls(engine, run_address, array_type, active, place)
    # The first function may be jitted within a transformation, or on a device.
    return calls if Context().run(calls.is_right) else None
