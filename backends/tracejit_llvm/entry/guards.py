"""Guard programs and result programs: what the arguments and the result of a signature are.

A *guard program* is a run of words, one instruction for each node of the arguments in order, a
container before what it holds:

====== ============================= ==================================================
code   words after it                matches
====== ============================= ==================================================
0      type, aval                    an object of that type whose ``aval`` is that one
1      dtype, rank, lengths          a C-contiguous, aligned ndarray
2      --                            a float
3      --                            an int that fits 64 bits
4      --                            a bool
5      --                            None
6, 7   number                        a tuple, a list of so many
8      number, keys                  a dict of these keys
9      type, offset                  an object of that type, which holds one at the offset
====== ============================= ==================================================

A *result program* has the codes 0 (the next output), 5, 6, 7, 8 and 9.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["BUILD", "MATCH", "Code"]


class Code(IntEnum):
    """Instructions of guard and result programs."""

    OBJECT = 0
    NDARRAY = 1
    FLOAT = 2
    INT = 3
    BOOL = 4
    NONE = 5
    TUPLE = 6
    LIST = 7
    DICT = 8
    HOLDER = 9


MATCH = """
; state: cursor of the guard program, next input, next scalar, next held object
define internal i1 @match(ptr %x, ptr %state) nounwind {
entry:
  %overflow = alloca i32
  %p.input = getelementptr i8, ptr %state, i64 8
  %p.scalar = getelementptr i8, ptr %state, i64 16
  %p.held = getelementptr i8, ptr %state, i64 24
  %cursor = load ptr, ptr %state
  %code = load i64, ptr %cursor
  %p1 = getelementptr i64, ptr %cursor, i64 1
  %p2 = getelementptr i64, ptr %cursor, i64 2
  %p3 = getelementptr i64, ptr %cursor, i64 3
  store ptr %p1, ptr %state
  %p.type = getelementptr i8, ptr %x, i64 <TYPE>
  %type = load ptr, ptr %p.type
  switch i64 %code, label %no [
    i64 <CODE.OBJECT>, label %object
    i64 <CODE.NDARRAY>, label %ndarray
    i64 <CODE.FLOAT>, label %float
    i64 <CODE.INT>, label %int
    i64 <CODE.BOOL>, label %bool
    i64 <CODE.NONE>, label %none
    i64 <CODE.TUPLE>, label %tuple
    i64 <CODE.LIST>, label %list
    i64 <CODE.DICT>, label %dict
    i64 <CODE.HOLDER>, label %holder.type
  ]

holder.type:
  %h.wanted = load ptr, ptr %p1
  %h.offset = load i64, ptr %p2
  store ptr %p3, ptr %state
  %is.holder = icmp eq ptr %type, %h.wanted
  br i1 %is.holder, label %holder.item, label %no
holder.item:
  %p.inside = getelementptr i8, ptr %x, i64 %h.offset
  %inside = load ptr, ptr %p.inside
  %is.set = icmp ne ptr %inside, null
  br i1 %is.set, label %holder.match, label %no
holder.match:
  %inside.good = call i1 @match(ptr %inside, ptr %state)
  ret i1 %inside.good

object:
  %wanted = load ptr, ptr %p1
  %is.object = icmp eq ptr %type, %wanted
  br i1 %is.object, label %object.aval, label %no
object.aval:
  %p.aval = getelementptr i8, ptr %x, i64 <AVAL>
  %aval = load ptr, ptr %p.aval
  %wanted.aval = load ptr, ptr %p2
  %is.aval = icmp eq ptr %aval, %wanted.aval
  br i1 %is.aval, label %object.buf, label %no
object.buf:
  %p.buf = getelementptr i8, ptr %x, i64 <BUF>
  %buf = load ptr, ptr %p.buf
  %has = icmp ne ptr %buf, null
  br i1 %has, label %object.kind, label %no
object.kind:
  %p.buf.type = getelementptr i8, ptr %buf, i64 <TYPE>
  %buf.type = load ptr, ptr %p.buf.type
  %is.host = icmp eq ptr %buf.type, @type_ndarray
  store ptr %p3, ptr %state
  br i1 %is.host, label %leaf, label %no

ndarray:
  %is.ndarray = icmp eq ptr %type, @type_ndarray
  br i1 %is.ndarray, label %nd.dtype, label %no
nd.dtype:
  %p.dtype = getelementptr i8, ptr %x, i64 <DTYPE>
  %dtype = load ptr, ptr %p.dtype
  %wanted.dtype = load ptr, ptr %p1
  %is.dtype = icmp eq ptr %dtype, %wanted.dtype
  br i1 %is.dtype, label %nd.flags, label %no
nd.flags:
  %p.flags = getelementptr i8, ptr %x, i64 <FLAGS>
  %flags = load i32, ptr %p.flags
  %both = and i32 %flags, 257
  %usual = icmp eq i32 %both, 257
  br i1 %usual, label %nd.rank, label %no
nd.rank:
  %p.rank = getelementptr i8, ptr %x, i64 <RANK>
  %rank = load i32, ptr %p.rank
  %rank.long = sext i32 %rank to i64
  %wanted.rank = load i64, ptr %p2
  %is.rank = icmp eq i64 %rank.long, %wanted.rank
  br i1 %is.rank, label %nd.lengths, label %no
nd.lengths:
  %p.lengths = getelementptr i8, ptr %x, i64 <LENGTHS>
  %lengths = load ptr, ptr %p.lengths
  br label %nd.head
nd.head:
  %axis = phi i64 [ 0, %nd.lengths ], [ %axis1, %nd.next ]
  %nd.more = icmp slt i64 %axis, %rank.long
  br i1 %nd.more, label %nd.next, label %nd.done
nd.next:
  %p.length = getelementptr i64, ptr %lengths, i64 %axis
  %length = load i64, ptr %p.length
  %p.want = getelementptr i64, ptr %p3, i64 %axis
  %want = load i64, ptr %p.want
  %axis1 = add i64 %axis, 1
  %is.length = icmp eq i64 %length, %want
  br i1 %is.length, label %nd.head, label %no
nd.done:
  %after.lengths = getelementptr i64, ptr %p3, i64 %rank.long
  store ptr %after.lengths, ptr %state
  br label %leaf

leaf:
  %owner = phi ptr [ %buf, %object.kind ], [ %x, %nd.done ]
  %p.data = getelementptr i8, ptr %owner, i64 <DATA>
  %data = load ptr, ptr %p.data
  br label %put
put:
  %address = phi ptr [ %data, %leaf ], [ %scalar, %scalar.done ]
  %holder = phi ptr [ %owner, %leaf ], [ @object_none, %scalar.done ]
  %input = load ptr, ptr %p.input
  store ptr %address, ptr %input
  %input1 = getelementptr ptr, ptr %input, i64 1
  store ptr %input1, ptr %p.input
  %held = load ptr, ptr %p.held
  store ptr %holder, ptr %held
  %held1 = getelementptr ptr, ptr %held, i64 1
  store ptr %held1, ptr %p.held
  ret i1 true

float:
  %is.float = icmp eq ptr %type, @type_float
  br i1 %is.float, label %float.value, label %no
float.value:
  %p.value = getelementptr i8, ptr %x, i64 <VALUE>
  %bits = load i64, ptr %p.value
  br label %scalar.done
int:
  %is.int = icmp eq ptr %type, @type_int
  br i1 %is.int, label %int.value, label %no
int.value:
  %number = call i64 @PyLong_AsLongLongAndOverflow(ptr %x, ptr %overflow)
  %beyond = load i32, ptr %overflow
  %fits = icmp eq i32 %beyond, 0
  br i1 %fits, label %scalar.done, label %no
bool:
  %is.true = icmp eq ptr %x, @object_true
  %is.false = icmp eq ptr %x, @object_false
  %is.bool = or i1 %is.true, %is.false
  br i1 %is.bool, label %bool.value, label %no
bool.value:
  %truth = zext i1 %is.true to i64
  br label %scalar.done
scalar.done:
  %word = phi i64 [ %bits, %float.value ], [ %number, %int.value ], [ %truth, %bool.value ]
  %scalar = load ptr, ptr %p.scalar
  store i64 %word, ptr %scalar
  %scalar1 = getelementptr i64, ptr %scalar, i64 1
  store ptr %scalar1, ptr %p.scalar
  br label %put

none:
  %is.none = icmp eq ptr %x, @object_none
  ret i1 %is.none

tuple:
  %is.tuple = icmp eq ptr %type, @type_tuple
  br i1 %is.tuple, label %tuple.items, label %no
tuple.items:
  %t.items = getelementptr i8, ptr %x, i64 <ITEMS>
  br label %sequence
list:
  %is.list = icmp eq ptr %type, @type_list
  br i1 %is.list, label %list.items, label %no
list.items:
  %p.items = getelementptr i8, ptr %x, i64 <LIST.ITEMS>
  %l.items = load ptr, ptr %p.items
  br label %sequence
sequence:
  %items = phi ptr [ %t.items, %tuple.items ], [ %l.items, %list.items ]
  %p.size = getelementptr i8, ptr %x, i64 <SIZE>
  %size = load i64, ptr %p.size
  %count = load i64, ptr %p1
  store ptr %p2, ptr %state
  %is.size = icmp eq i64 %size, %count
  br i1 %is.size, label %s.head, label %no
s.head:
  %n = phi i64 [ 0, %sequence ], [ %n1, %s.next ]
  %s.more = icmp slt i64 %n, %count
  br i1 %s.more, label %s.next, label %yes
s.next:
  %p.item = getelementptr ptr, ptr %items, i64 %n
  %item = load ptr, ptr %p.item
  %n1 = add i64 %n, 1
  %s.good = call i1 @match(ptr %item, ptr %state)
  br i1 %s.good, label %s.head, label %no

dict:
  %is.dict = icmp eq ptr %type, @type_dict
  br i1 %is.dict, label %dict.size, label %no
dict.size:
  %d.size = call i64 @PyDict_Size(ptr %x)
  %d.count = load i64, ptr %p1
  %after.keys = getelementptr i64, ptr %p2, i64 %d.count
  store ptr %after.keys, ptr %state
  %d.is.size = icmp eq i64 %d.size, %d.count
  br i1 %d.is.size, label %d.head, label %no
d.head:
  %k = phi i64 [ 0, %dict.size ], [ %k1, %d.match ]
  %d.more = icmp slt i64 %k, %d.count
  br i1 %d.more, label %d.next, label %yes
d.next:
  %p.key = getelementptr ptr, ptr %p2, i64 %k
  %key = load ptr, ptr %p.key
  %k1 = add i64 %k, 1
  %value = call ptr @PyDict_GetItemWithError(ptr %x, ptr %key)
  %d.has = icmp ne ptr %value, null
  br i1 %d.has, label %d.match, label %d.missing
d.match:
  %d.good = call i1 @match(ptr %value, ptr %state)
  br i1 %d.good, label %d.head, label %no
d.missing:
  call void @PyErr_Clear()
  ret i1 false

yes:
  ret i1 true
no:
  ret i1 false
}
"""
"""Text of ``@match(x, state)``: whether `x` is what the guard program says; its inputs are put
where the state points."""

_SEQUENCE = """\
<S>:
  %<S>.count = load i64, ptr %p1
  store ptr %p2, ptr %state
  %<S>.made = call ptr @Py<CLASS>_New(i64 %<S>.count)
  %<S>.null = icmp eq ptr %<S>.made, null
  br i1 %<S>.null, label %failed, label %<S>.head
<S>.head:
  %<S>.n = phi i64 [ 0, %<S> ], [ %<S>.n1, %<S>.put ]
  %<S>.more = icmp slt i64 %<S>.n, %<S>.count
  br i1 %<S>.more, label %<S>.next, label %<S>.done
<S>.next:
  %<S>.item = call ptr @build(ptr %state)
  %<S>.bad = icmp eq ptr %<S>.item, null
  br i1 %<S>.bad, label %<S>.failed, label %<S>.put
<S>.put:
  %<S>.status = call i32 @Py<CLASS>_SetItem(ptr %<S>.made, i64 %<S>.n, ptr %<S>.item)
  %<S>.n1 = add i64 %<S>.n, 1
  br label %<S>.head
<S>.done:
  ret ptr %<S>.made
<S>.failed:
  call void @Py_DecRef(ptr %<S>.made)
  ret ptr null

"""


def _sequence(kind: str) -> str:
    """Return the branch of ``@build`` that makes a tuple or a list."""
    return _SEQUENCE.replace("<S>", kind).replace("<CLASS>", kind.title())


BUILD = """
; state: cursor of the result program, next output
define internal ptr @build(ptr %state) nounwind {
entry:
  %p.made = getelementptr i8, ptr %state, i64 8
  %cursor = load ptr, ptr %state
  %code = load i64, ptr %cursor
  %p1 = getelementptr i64, ptr %cursor, i64 1
  %p2 = getelementptr i64, ptr %cursor, i64 2
  store ptr %p1, ptr %state
  switch i64 %code, label %leaf [
    i64 <CODE.NONE>, label %none
    i64 <CODE.TUPLE>, label %tuple
    i64 <CODE.LIST>, label %list
    i64 <CODE.DICT>, label %dict
    i64 <CODE.HOLDER>, label %holder
  ]
leaf:
  %made = load ptr, ptr %p.made
  %x = load ptr, ptr %made
  store ptr null, ptr %made
  %made1 = getelementptr ptr, ptr %made, i64 1
  store ptr %made1, ptr %p.made
  ret ptr %x
none:
  call void @Py_IncRef(ptr @object_none)
  ret ptr @object_none

holder:
  %h.type = load ptr, ptr %p1
  %h.offset = load i64, ptr %p2
  %p3 = getelementptr i64, ptr %cursor, i64 3
  store ptr %p3, ptr %state
  %h.item = call ptr @build(ptr %state)
  %h.bad = icmp eq ptr %h.item, null
  br i1 %h.bad, label %failed, label %h.make
h.make:
  %h.made = call ptr @PyType_GenericAlloc(ptr %h.type, i64 0)
  %h.null = icmp eq ptr %h.made, null
  br i1 %h.null, label %h.failed, label %h.put
h.put:
  %p.slot = getelementptr i8, ptr %h.made, i64 %h.offset
  store ptr %h.item, ptr %p.slot
  ret ptr %h.made
h.failed:
  call void @Py_DecRef(ptr %h.item)
  ret ptr null

<TUPLE><LIST>dict:
  %d.count = load i64, ptr %p1
  %d.after = getelementptr i64, ptr %p2, i64 %d.count
  store ptr %d.after, ptr %state
  %d = call ptr @PyDict_New()
  %d.null = icmp eq ptr %d, null
  br i1 %d.null, label %failed, label %d.head
d.head:
  %k = phi i64 [ 0, %dict ], [ %k1, %d.put ]
  %d.more = icmp slt i64 %k, %d.count
  br i1 %d.more, label %d.next, label %d.done
d.next:
  %p.key = getelementptr ptr, ptr %p2, i64 %k
  %key = load ptr, ptr %p.key
  %k1 = add i64 %k, 1
  %d.item = call ptr @build(ptr %state)
  %d.bad = icmp eq ptr %d.item, null
  br i1 %d.bad, label %d.failed, label %d.put
d.put:
  %d.status = call i32 @PyDict_SetItem(ptr %d, ptr %key, ptr %d.item)
  call void @Py_DecRef(ptr %d.item)
  %d.wrong = icmp slt i32 %d.status, 0
  br i1 %d.wrong, label %d.failed, label %d.head
d.done:
  ret ptr %d
d.failed:
  call void @Py_DecRef(ptr %d)
  ret ptr null
failed:
  ret ptr null
}
""".replace("<TUPLE>", _sequence("tuple")).replace("<LIST>", _sequence("list"))
"""Text of ``@build(state)``: the result, made of the outputs."""
