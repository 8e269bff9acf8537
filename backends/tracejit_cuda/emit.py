"""Emit: a kernel as a CUDA device function, in the form that its launch calls for.

A device function runs a kernel with ``nb`` blocks of which the caller is block ``bid``, whatever
the numbers: a launch has one block a few thousand elements, a loop that fits one block has one, a
persistent loop as many as are resident.  Iterations are dealt out in strides of the whole grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from tracejit.ir.kernel import For, Kernel, Reduce, Statement, Store, expressions
from tracejit_cuda import scalars
from tracejit_cuda.forms import Form, RowsForm, TileForm
from tracejit_cuda.maps import tiled_map, write_map
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
            elif isinstance(how, TileForm):
                tiled_map(e, nest, how)
            else:
                write_map(e, nest, how)
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
    # --------------------------------------------------------------------- rows

    def rows(self, nest: Map | Rows, how: RowsForm) -> None:
        """Write a nest of which a team of threads runs each iteration."""
        warp = how.team == 32
        lane, width = ("((int)threadIdx.x & 31)", "32") if warp else (
            "(int)threadIdx.x", "(int)blockDim.x"
        )  # fmt: skip
        lane = self.declare("idx", lane, "lane")
        ranges, total = self.ranges(nest.loops)
        if warp:
            teams = self.declare("idx", "(idx)blockDim.x / 32", "teams")
            first = f"(idx)bid * {teams} + (idx)threadIdx.x / 32"
            step = f"(idx)nb * {teams}"
        else:
            first, step = "(idx)bid", "(idx)nb"
        with ExitStack() as stack:
            flat = self.spread(total, first, step, stack)
            self.unflatten(flat, nest.loops, ranges)
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
        ranges, total = e.ranges(loops)
        with ExitStack() as stack:
            flat = e.spread(total, self.lane, self.width, stack)
            e.unflatten(flat, loops, ranges)
            e.serial(inner)

    def _reduce(self, s: Reduce) -> None:
        e = self.e
        e.hoist(expressions(s), [v.var for v in s.loops])
        states = [e.accumulator(a, compensated=True) for a in s.accumulators]
        ranges, total = e.ranges(s.loops)
        with ExitStack() as stack:
            flat = e.spread(total, self.lane, self.width, stack)
            e.unflatten(flat, s.loops, ranges)
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

