"""The code of a native call: a guard program is matched, outputs are made, the plan is run.

One module serves all signatures: what differs is data (:mod:`tracejit_llvm.entry.guards`).
Whatever does not match, and every call with keywords or under a transformation, is left to Python.
"""

from __future__ import annotations

from enum import IntEnum

from tracejit_llvm.entry.guards import BUILD, MATCH, Code

__all__ = ["Field", "call_text"]


class Field(IntEnum):
    """Words of a record: all that is known of one signature."""

    BUSY = 0
    """Whether a call is in progress; other threads then go the long way."""
    ARGUMENTS = 1
    """How many arguments are given by position."""
    ANYWHERE = 2
    """Whether the default device does not matter."""
    GUARD = 3
    """Address of the guard program."""
    INPUTS = 4
    """Address of the table of the addresses of inputs."""
    SCALARS = 5
    """Address of the words in which Python scalars are put."""
    HELD = 6
    """Address of the table of the objects that own inputs."""
    INPUT_COUNT = 7
    """How many inputs there are."""
    HOLDS = 8
    """Whether these are held during the run, since it lets other threads go on."""
    OUTPUTS = 9
    """Address of the table of the addresses of outputs."""
    MADE = 10
    """Address of the table of outputs as objects."""
    OUTPUT_COUNT = 11
    """How many outputs there are."""
    KINDS = 12
    """Address of five words an output: maker or 0, dtype, rank, address of lengths, aval."""
    RESULT = 13
    """Address of the result program."""
    RUN = 14
    """Address of what runs the plan."""
    CONTEXT = 15
    """Its argument."""
    LEFT = 16
    """Address of how many runs are left until one must go the long way."""


def call_text(offsets: dict[str, int]) -> str:
    """Return the module of ``@fast_call``, a vectorcall function.

    Parameters
    ----------
    offsets : dict of str to int
        Bytes: ``HEADER`` of an object; ``ITEMS`` of a tuple; ``AVAL`` and ``BUF`` in an array;
        ``TABLE``, ``COUNT`` and ``SLOW`` in a function.
    """
    header = offsets["HEADER"]
    places = {
        **{f"FIELD.{field.name}": 8 * field for field in Field},
        **{f"CODE.{code.name}": int(code) for code in Code},
        "TYPE": header - 8,
        "SIZE": header,
        "LIST.ITEMS": header + 8,
        "DATA": header,
        "RANK": header + 8,
        "LENGTHS": header + 16,
        "DTYPE": header + 40,
        "FLAGS": header + 48,
        "VALUE": header,
        **offsets,
    }
    text = f"{_TEXT}{MATCH}{BUILD}"
    for name in sorted(places, key=len, reverse=True):
        text = text.replace(f"<{name}>", str(places[name]))
    return text


_TEXT = """
@type_array = external global i8
@type_ndarray = external global i8
@type_float = external global i8
@type_int = external global i8
@type_tuple = external global i8
@type_list = external global i8
@type_dict = external global i8
@object_none = external global i8
@object_true = external global i8
@object_false = external global i8
@active = external global i8
@place = external global i8

declare void @Py_IncRef(ptr)
declare void @Py_DecRef(ptr)
declare void @PyErr_Clear()
declare i32 @PyContextVar_Get(ptr, ptr, ptr)
declare ptr @PyObject_Vectorcall(ptr, ptr, i64, ptr)
declare ptr @PyObject_CallNoArgs(ptr)
declare i64 @PyTuple_Size(ptr)
declare ptr @PyTuple_New(i64)
declare i32 @PyTuple_SetItem(ptr, i64, ptr)
declare ptr @PyList_New(i64)
declare i32 @PyList_SetItem(ptr, i64, ptr)
declare ptr @PyDict_New()
declare i64 @PyDict_Size(ptr)
declare ptr @PyDict_GetItemWithError(ptr, ptr)
declare i32 @PyDict_SetItem(ptr, ptr, ptr)
declare i64 @PyLong_AsLongLongAndOverflow(ptr, ptr)
declare ptr @PyType_GenericAlloc(ptr, i64)
declare void @PyObject_GC_UnTrack(ptr)
declare ptr @array_new(ptr, ptr, i32, ptr, ptr, ptr, i32, ptr)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)

define i64 @nothing(ptr %context) {
  ret i64 0
}

; Whether a context variable is None.
define internal i1 @is_none(ptr %variable) nounwind {
entry:
  %out = alloca ptr
  %status = call i32 @PyContextVar_Get(ptr %variable, ptr null, ptr %out)
  %bad = icmp slt i32 %status, 0
  br i1 %bad, label %failed, label %found
failed:
  call void @PyErr_Clear()
  ret i1 false
found:
  %value = load ptr, ptr %out
  %none = icmp eq ptr %value, @object_none
  call void @Py_DecRef(ptr %value)
  ret i1 %none
}

; Drop the objects of a table that are there.
define internal void @drop(ptr %table, i64 %count) nounwind {
entry:
  br label %head
head:
  %n = phi i64 [ 0, %entry ], [ %n1, %next ]
  %more = icmp slt i64 %n, %count
  br i1 %more, label %one, label %done
one:
  %p = getelementptr ptr, ptr %table, i64 %n
  %x = load ptr, ptr %p
  store ptr null, ptr %p
  %there = icmp ne ptr %x, null
  br i1 %there, label %drop, label %next
drop:
  call void @Py_DecRef(ptr %x)
  br label %next
next:
  %n1 = add i64 %n, 1
  br label %head
done:
  ret void
}

define internal ptr @hit(ptr %record) nounwind {
entry:
  %state = alloca [2 x ptr]
  %p.busy = getelementptr i8, ptr %record, i64 <FIELD.BUSY>
  %p.made = getelementptr i8, ptr %record, i64 <FIELD.MADE>
  %made = load ptr, ptr %p.made
  %p.outputs = getelementptr i8, ptr %record, i64 <FIELD.OUTPUTS>
  %outputs = load ptr, ptr %p.outputs
  %p.kinds = getelementptr i8, ptr %record, i64 <FIELD.KINDS>
  %kinds = load ptr, ptr %p.kinds
  %p.count = getelementptr i8, ptr %record, i64 <FIELD.OUTPUT_COUNT>
  %count = load i64, ptr %p.count
  %p.holds = getelementptr i8, ptr %record, i64 <FIELD.HOLDS>
  %holds = load i64, ptr %p.holds
  %p.held = getelementptr i8, ptr %record, i64 <FIELD.HELD>
  %held = load ptr, ptr %p.held
  %p.inputs = getelementptr i8, ptr %record, i64 <FIELD.INPUT_COUNT>
  %inputs = load i64, ptr %p.inputs
  %keep = icmp ne i64 %holds, 0
  store i64 1, ptr %p.busy
  br i1 %keep, label %hold, label %head
hold:
  %h = phi i64 [ 0, %entry ], [ %h1, %hold.one ]
  %hold.more = icmp slt i64 %h, %inputs
  br i1 %hold.more, label %hold.one, label %head
hold.one:
  %p.holder = getelementptr ptr, ptr %held, i64 %h
  %holder = load ptr, ptr %p.holder
  call void @Py_IncRef(ptr %holder)
  %h1 = add i64 %h, 1
  br label %hold
head:
  %n = phi i64 [ 0, %entry ], [ 0, %hold ], [ %n1, %buffer.good ]
  %more = icmp slt i64 %n, %count
  br i1 %more, label %one, label %ready
one:
  %at = mul i64 %n, 5
  %kind = getelementptr i64, ptr %kinds, i64 %at
  %maker = load ptr, ptr %kind
  %made.here = icmp eq ptr %maker, null
  br i1 %made.here, label %small, label %large
small:
  %p.dtype = getelementptr i64, ptr %kind, i64 1
  %dtype = load ptr, ptr %p.dtype
  %p.rank = getelementptr i64, ptr %kind, i64 2
  %rank = load i64, ptr %p.rank
  %rank.int = trunc i64 %rank to i32
  %p.lengths = getelementptr i64, ptr %kind, i64 3
  %lengths = load ptr, ptr %p.lengths
  call void @Py_IncRef(ptr %dtype)
  %fresh = call ptr @array_new(ptr @type_ndarray, ptr %dtype, i32 %rank.int, ptr %lengths, ptr null, ptr null, i32 0, ptr null)
  br label %buffer
large:
  %taken = call ptr @PyObject_CallNoArgs(ptr %maker)
  br label %buffer
buffer:
  %buf = phi ptr [ %fresh, %small ], [ %taken, %large ]
  %none = icmp eq ptr %buf, null
  br i1 %none, label %failed, label %buffer.good
buffer.good:
  %p.object = getelementptr ptr, ptr %made, i64 %n
  store ptr %buf, ptr %p.object
  %p.data = getelementptr i8, ptr %buf, i64 <DATA>
  %data = load ptr, ptr %p.data
  %p.output = getelementptr ptr, ptr %outputs, i64 %n
  store ptr %data, ptr %p.output
  %n1 = add i64 %n, 1
  br label %head

ready:
  %p.run = getelementptr i8, ptr %record, i64 <FIELD.RUN>
  %run = load ptr, ptr %p.run
  %p.context = getelementptr i8, ptr %record, i64 <FIELD.CONTEXT>
  %context = load ptr, ptr %p.context
  %status = call i64 %run(ptr %context)
  br i1 %keep, label %let.go, label %wrap
let.go:
  call void @drop(ptr %held, i64 %inputs)
  br label %wrap

wrap:
  %w = phi i64 [ 0, %ready ], [ 0, %let.go ], [ %w1, %wrapped ]
  %wrap.more = icmp slt i64 %w, %count
  br i1 %wrap.more, label %wrap.one, label %result
wrap.one:
  %array = call ptr @PyType_GenericAlloc(ptr @type_array, i64 0)
  %array.null = icmp eq ptr %array, null
  br i1 %array.null, label %failed, label %wrapped
wrapped:
  ; It refers to nothing that could refer to it.
  call void @PyObject_GC_UnTrack(ptr %array)
  %w.at = mul i64 %w, 5
  %w.kind = getelementptr i64, ptr %kinds, i64 %w.at
  %p.w.aval = getelementptr i64, ptr %w.kind, i64 4
  %aval = load ptr, ptr %p.w.aval
  call void @Py_IncRef(ptr %aval)
  %p.aval = getelementptr i8, ptr %array, i64 <AVAL>
  store ptr %aval, ptr %p.aval
  %p.w = getelementptr ptr, ptr %made, i64 %w
  %w.buf = load ptr, ptr %p.w
  %p.buf = getelementptr i8, ptr %array, i64 <BUF>
  store ptr %w.buf, ptr %p.buf
  store ptr %array, ptr %p.w
  %w1 = add i64 %w, 1
  br label %wrap
result:
  %p.result = getelementptr i8, ptr %record, i64 <FIELD.RESULT>
  %program = load ptr, ptr %p.result
  store ptr %program, ptr %state
  %p.state = getelementptr i8, ptr %state, i64 8
  store ptr %made, ptr %p.state
  %out = call ptr @build(ptr %state)
  %out.null = icmp eq ptr %out, null
  br i1 %out.null, label %failed, label %done
done:
  store i64 0, ptr %p.busy
  ret ptr %out
failed:
  call void @drop(ptr %made, i64 %count)
  br i1 %keep, label %failed.held, label %leave
failed.held:
  call void @drop(ptr %held, i64 %inputs)
  br label %leave
leave:
  store i64 0, ptr %p.busy
  ret ptr null
}

define ptr @fast_call(ptr %self, ptr %args, i64 %flagged, ptr %names) {
entry:
  %state = alloca [4 x ptr]
  %n = and i64 %flagged, 9223372036854775807
  %p.table = getelementptr i8, ptr %self, i64 <TABLE>
  %p.count = getelementptr i8, ptr %self, i64 <COUNT>
  %named = icmp ne ptr %names, null
  br i1 %named, label %slow, label %known
known:
  %count = load i64, ptr %p.count
  %some = icmp sgt i64 %count, 0
  br i1 %some, label %quiet, label %slow
quiet:
  %untraced = call i1 @is_none(ptr @active)
  br i1 %untraced, label %begin, label %slow
begin:
  %table = load ptr, ptr %p.table
  br label %head
head:
  %r = phi i64 [ 0, %begin ], [ %r1, %next ]
  %more = icmp slt i64 %r, %count
  br i1 %more, label %one, label %slow
one:
  %p.record = getelementptr ptr, ptr %table, i64 %r
  %record = load ptr, ptr %p.record
  %busy = load i64, ptr %record
  %free = icmp eq i64 %busy, 0
  br i1 %free, label %number, label %next
number:
  %p.arguments = getelementptr i8, ptr %record, i64 <FIELD.ARGUMENTS>
  %arguments = load i64, ptr %p.arguments
  %same = icmp eq i64 %arguments, %n
  br i1 %same, label %where, label %next
where:
  %p.anywhere = getelementptr i8, ptr %record, i64 <FIELD.ANYWHERE>
  %anywhere = load i64, ptr %p.anywhere
  %fixed = icmp ne i64 %anywhere, 0
  br i1 %fixed, label %prepare, label %default
default:
  %host = call i1 @is_none(ptr @place)
  br i1 %host, label %prepare, label %next
prepare:
  %p.guard = getelementptr i8, ptr %record, i64 <FIELD.GUARD>
  %guard = load ptr, ptr %p.guard
  %p.inputs = getelementptr i8, ptr %record, i64 <FIELD.INPUTS>
  %inputs = load ptr, ptr %p.inputs
  %p.scalars = getelementptr i8, ptr %record, i64 <FIELD.SCALARS>
  %scalars = load ptr, ptr %p.scalars
  %p.held = getelementptr i8, ptr %record, i64 <FIELD.HELD>
  %held = load ptr, ptr %p.held
  store ptr %guard, ptr %state
  %s1 = getelementptr ptr, ptr %state, i64 1
  store ptr %inputs, ptr %s1
  %s2 = getelementptr ptr, ptr %state, i64 2
  store ptr %scalars, ptr %s2
  %s3 = getelementptr ptr, ptr %state, i64 3
  store ptr %held, ptr %s3
  br label %match
match:
  %a = phi i64 [ 0, %prepare ], [ %a1, %match.one ]
  %match.more = icmp slt i64 %a, %n
  br i1 %match.more, label %match.one, label %counted
counted:
  %p.left = getelementptr i8, ptr %record, i64 <FIELD.LEFT>
  %p.runs = load ptr, ptr %p.left
  %runs = load i64, ptr %p.runs
  %runs.left = sub i64 %runs, 1
  store i64 %runs.left, ptr %p.runs
  %enough = icmp sgt i64 %runs.left, 0
  br i1 %enough, label %hit, label %slow
match.one:
  %p.x = getelementptr ptr, ptr %args, i64 %a
  %x = load ptr, ptr %p.x
  %a1 = add i64 %a, 1
  %good = call i1 @match(ptr %x, ptr %state)
  br i1 %good, label %match, label %next
next:
  %r1 = add i64 %r, 1
  br label %head
hit:
  %result = call ptr @hit(ptr %record)
  ret ptr %result

slow:
  br i1 %named, label %keywords, label %copy
keywords:
  %k = call i64 @PyTuple_Size(ptr %names)
  br label %copy
copy:
  %more.values = phi i64 [ 0, %slow ], [ %k, %keywords ]
  %values = add i64 %n, %more.values
  %room = add i64 %values, 1
  %own = alloca ptr, i64 %room
  store ptr %self, ptr %own
  %p.slow = getelementptr i8, ptr %self, i64 <SLOW>
  %function = load ptr, ptr %p.slow
  %rest = getelementptr ptr, ptr %own, i64 1
  %bytes = mul i64 %values, 8
  call void @llvm.memcpy.p0.p0.i64(ptr %rest, ptr %args, i64 %bytes, i1 false)
  %given = add i64 %n, 1
  %found = call ptr @PyObject_Vectorcall(ptr %function, ptr %own, i64 %given, ptr %names)
  ret ptr %found
}
"""  # noqa: E501
