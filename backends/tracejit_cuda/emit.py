"""Emit: a kernel as a CUDA device function, in the form that its launch calls for.

A device function runs a kernel with ``nb`` blocks of which the caller is block ``bid``, whatever
the numbers: a launch has one block a few thousand elements, a loop that fits one block has one, a
persistent loop as many as are resident.  Iterations are dealt out in strides of the whole grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from tracejit.ir.kernel import For, Kernel, Reduce, Statement, Store, expressions
from tracejit.ir.scalar import Expr, Loop
from tracejit_cuda import scalars
from tracejit_cuda.forms import Form, MapForm, RowsForm, loads_in_order
from tracejit_cuda.nests import Map, Rows, loads, nests, stores
from tracejit_cuda.serial import Serial, grouped, reference

__all__ = ["device_function", "parameters"]


def parameters(kernel: Kernel) -> list[tuple[str, str]]:
    """Return the arguments of a kernel, as (type, name) in their order."""
    out = []
    for n, b in enumerate(kernel.buffers):
        const = "const " if b.mode == "in" else ""
        out.append((f"{const}{scalars.storage_name(b.dtype)}*", f"b{n}"))
    out += [("long long", f"n{n}") for n in range(kernel.n_sizes)]
    out += [("double", f"g{n}") for n in range(len(kernel.floats))]
    return out


def device_function(kernel: Kernel, form: Form, name: str) -> str:
    """Return the definition of ``void name(int bid, int nb, parameters...)``.

    Parameters
    ----------
    kernel : Kernel
        What to emit.
    form : Form
        How; from :func:`tracejit_cuda.forms.choose`.
    name : str
        The name of the function; names that start with it are its own.
    """
    e = _Emitter(kernel)
    for nest, how in zip(nests(kernel), form.nests, strict=True):
        with e.block():
            if isinstance(how, RowsForm):
                e.rows(nest, how)
            else:
                e.map(nest, how)
    restrict = [
        f"{kind} __restrict__ {own}" if kind.endswith("*") else f"{kind} {own}"
        for kind, own in parameters(kernel)
    ]
    signature = ", ".join(["const int bid", "const int nb", *restrict])
    head = [
        f"static __device__ __forceinline__ void {name}({signature}) {{",
        f"  typedef {form.offsets} idx;",
        f"  typedef unsigned {form.offsets} uidx;",
    ]
    head += [f"  const idx m{n} = (idx)n{n};" for n in range(kernel.n_sizes)]
    head += [
        f"  const {scalars.type_name(d)} f{n} = ({scalars.type_name(d)})g{n};"
        for n, d in enumerate(kernel.floats)
    ]
    return "\n".join([*head, *e.lines, "}"])


class _Emitter(Serial):
    def _ranges(self, loops: Sequence[Loop]) -> tuple[list[tuple[str, str]], str]:
        """Return the first value and length of each loop, and the number of iterations."""
        out = []
        for v in loops:
            lo, hi = self.integer(v.lo), self.integer(v.hi)
            if v.lo == 0:
                length = hi
            elif isinstance(v.lo, int) and isinstance(v.hi, int):
                length = str(v.hi - v.lo)
            else:
                length = self.declare("idx", f"{hi} - {lo}", "e")
            out.append((lo, length))
        total = self.declare("idx", " * ".join(n for _, n in out) or "1", "total")
        return out, total

    def _spread(self, total: str, first: str, step: str, stack: ExitStack) -> str:
        var = self.name("k")
        stack.enter_context(
            self.block(f"for (idx {var} = {first}; {var} < {total}; {var} += {step})")
        )
        return var

    def _decompose(
        self, flat: str, loops: Sequence[Loop], ranges: Sequence[tuple[str, str]]
    ) -> None:
        names = [(v.var, lo, n) for v, (lo, n) in zip(loops, ranges, strict=True)]
        self.decompose(flat, names)

    # --------------------------------------------------------------------- maps

    def map(self, nest: Map | Rows, how: MapForm) -> None:
        """Write a nest of which every thread runs iterations of its own."""
        if how.width > 1:
            self._wide_map(nest, how)
            return
        ranges, total = self._ranges(nest.loops)
        with ExitStack() as stack:
            first = "(idx)bid * (idx)blockDim.x + (idx)threadIdx.x"
            flat = self._spread(total, first, "(idx)nb * (idx)blockDim.x", stack)
            self._decompose(flat, nest.loops, ranges)
            self.serial(nest.body)

    def _wide_map(self, nest: Map | Rows, how: MapForm) -> None:
        """Write a map of which every thread runs `width` neighbours, with 16-byte accesses."""
        width, shift = how.width, how.shift
        *outer, last = nest.loops
        items = [s for s in nest.body if isinstance(s, Store)]
        lo, hi = self.integer(last.lo), self.integer(last.hi)
        first = self.declare("idx", f"({lo} + {shift}) / {width}", "q")
        beyond = self.declare("idx", f"({hi} + {shift + width - 1}) / {width}", "q")
        chunks = self.declare("idx", f"{beyond} - {first}", "q")
        ranges, rows = self._ranges(outer)
        total = self.declare("idx", f"{rows} * {chunks}", "total")
        chunk = Loop(last.var, 0, 0)
        with ExitStack() as stack:
            begin = "(idx)bid * (idx)blockDim.x + (idx)threadIdx.x"
            flat = self._spread(total, begin, "(idx)nb * (idx)blockDim.x", stack)
            self._decompose(flat, [*outer, chunk], [*ranges, (first, chunks)])
            start = self.declare("idx", f"{self.variables[last.var]} * {width} - {shift}", "j")
            inside = f"if ({start} >= {lo} && {start} + {width} <= {hi})"
            with self.block(inside):
                self._whole_chunk(items, last, start, how)
            with self.block("else"):
                lane = self.name("l")
                with self.block(f"for (int {lane} = 0; {lane} < {width}; ++{lane})"):
                    at = self.declare("idx", f"{start} + {lane}", "i")
                    with self.block(f"if ({at} >= {lo} && {at} < {hi})"):
                        self.variables[last.var] = at
                        self.serial(nest.body)

    def _whole_chunk(
        self, items: Sequence[Store], last: Loop, start: str, how: MapForm
    ) -> None:
        width = how.width
        self.variables[last.var] = start
        fetched: dict[Expr, str] = {}
        for number, e in enumerate(loads_in_order(items)):
            if number in how.together:
                kind = scalars.storage_name(e.dtype)
                address = f"b{e.attr} + {self.offset(e.args[0])}"
                fetched[e] = self.declare(
                    f"tj_vec<{kind}, {width}>",
                    f"*(const tj_vec<{kind}, {width}>*)({address})", "v",
                )  # fmt: skip
        places = [self.offset(s.offset) for s in items]
        kinds = [scalars.storage_name(s.value.dtype) for s in items]
        results = [self.name("w") for _ in items]
        for name, kind in zip(results, kinds, strict=True):
            self.line(f"tj_vec<{kind}, {width}> {name};")
        lane = self.name("l")
        self.line("#pragma unroll")
        with self.block(f"for (int {lane} = 0; {lane} < {width}; ++{lane})"):
            at = self.declare("idx", f"{start} + {lane}", "i")
            self.variables[last.var] = at
            # Offsets of this lane are written anew: those above were of the chunk's first.
            kept = self.scopes
            self.scopes = [{}]
            self.instead = {
                e: self.declare(scalars.type_name(e.dtype), _element(v, lane, e), "x")
                for e, v in fetched.items()
            }
            for s, name in zip(items, results, strict=True):
                value = self.value(s.value)
                self.line(scalars.store(f"&{name}.v[{lane}]", value, s.value.dtype) + ";")
            self.scopes = kept
            self.instead = {}
        for s, place, kind, name in zip(items, places, kinds, results, strict=True):
            self.line(f"*(tj_vec<{kind}, {width}>*)(b{s.buffer} + {place}) = {name};")

    # --------------------------------------------------------------------- rows

    def rows(self, nest: Map | Rows, how: RowsForm) -> None:
        """Write a nest of which a team of threads runs each iteration."""
        warp = how.team == 32
        lane, width = ("((int)threadIdx.x & 31)", "32") if warp else (
            "(int)threadIdx.x", "(int)blockDim.x"
        )  # fmt: skip
        lane = self.declare("idx", lane, "lane")
        ranges, total = self._ranges(nest.loops)
        if warp:
            teams = self.declare("idx", "(idx)blockDim.x / 32", "teams")
            first = f"(idx)bid * {teams} + (idx)threadIdx.x / 32"
            step = f"(idx)nb * {teams}"
        else:
            first, step = "(idx)bid", "(idx)nb"
        with ExitStack() as stack:
            flat = self._spread(total, first, step, stack)
            self._decompose(flat, nest.loops, ranges)
            _Team(self, lane, width, how.team).body(nest.body)


class _Team:
    """Writes the stages of a row for a team, with a barrier where one reads another's writes."""

    def __init__(self, e: _Emitter, lane: str, width: str, team: int) -> None:
        self.e = e
        self.lane = lane
        self.width = width
        self.team = team
        self.read: set[int] = set()
        self.written: set[int] = set()

    def body(self, body: Sequence[Statement]) -> None:
        for run in grouped(body):
            self._wait(loads(run), stores(run))
            if isinstance(run[0], Store):
                with self.e.block(f"if ({self.lane} == 0)"):
                    self.e.serial(run)
                self.e.forget_loads(stores(run))
            elif isinstance(run[0], For):
                self._for(run[0])
            elif isinstance(run[0], Reduce):
                self._reduce(run[0])

    def _wait(self, reads: set[int], writes: set[int]) -> None:
        if reads & self.written or writes & (self.written | self.read):
            self.e.line("__syncwarp();" if self.team == 32 else "__syncthreads();")
            self.read, self.written = set(), set()
            self.e.forget_loads(reads | writes)
        self.read |= reads
        self.written |= writes

    def _for(self, s: For) -> None:
        loops = [s.loop]
        inner = s.body
        while len(inner) == 1 and isinstance(inner[0], For):
            loops.append(inner[0].loop)
            inner = inner[0].body
        e = self.e
        e.forget_loads(stores(inner))
        ranges, total = e._ranges(loops)
        with ExitStack() as stack:
            flat = e._spread(total, self.lane, self.width, stack)
            e._decompose(flat, loops, ranges)
            e.serial(inner)

    def _reduce(self, s: Reduce) -> None:
        e = self.e
        e.hoist(expressions(s), [v.var for v in s.loops])
        states = [e.accumulator(a, compensated=True) for a in s.accumulators]
        ranges, total = e._ranges(s.loops)
        with ExitStack() as stack:
            flat = e._spread(total, self.lane, self.width, stack)
            e._decompose(flat, s.loops, ranges)
            e.accumulate(states)
        for x in states:
            if x.kind == "extreme":
                e.line(f"{x.name} = tj_team_extreme<{self.team}>({x.name});")
                name = e.result(x)
            else:
                kind = scalars.type_name(x.of.value.dtype)
                text = f"tj_team_reduce<{self.team}>(tj_{x.of.op}_op(), {e.result(x)})"
                name = e.declare(kind, text)
            e.bind(reference(x.of), name)


def _element(vector: str, lane: str, e: Expr) -> str:
    return scalars.load(f"&{vector}.v[{lane}]", e.dtype)
