"""Emit: a kernel as a CUDA device function, in the form that its launch calls for.

A device function runs a kernel with ``nb`` blocks of which the caller is block ``bid``, whatever
the numbers: a launch has one block a few thousand elements, a loop that fits one block has one, a
persistent loop as many as are resident.  Iterations are dealt out in strides of the whole grid.
"""

from __future__ import annotations

from tracejit.ir.dtypes import DTYPES
from tracejit.ir.kernel import Kernel
from tracejit_cuda import scalars
from tracejit_cuda.forms import Form, RowsForm, TileForm
from tracejit_cuda.maps import tiled_map, write_map
from tracejit_cuda.nests import nests
from tracejit_cuda.rows import write_rows
from tracejit_cuda.serial import Serial

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


def device_function(kernel: Kernel, form: Form, name: str, alone: bool = True) -> str:
    """Return the definition of ``void name(int bid, int nb, parameters...)``.

    Parameters
    ----------
    kernel : Kernel
        What to emit.
    form : Form
        How; from :func:`tracejit_cuda.forms.choose`.
    name : str
        The name of the function; names that start with it are its own.
    alone : bool
        Whether nothing else is written while it runs.  If not, what it reads may have been written
        by other blocks of the same launch, and must not come from a cache that does not see that.
    """
    e = Serial(kernel)
    for nest, how in zip(nests(kernel), form.nests, strict=True):
        with e.block():
            if isinstance(how, RowsForm):
                write_rows(e, nest, how)
            elif isinstance(how, TileForm):
                tiled_map(e, nest, how)
            else:
                write_map(e, nest, how)
    apart = " __restrict__" if alone and not _may_overlap(kernel) else ""
    restrict = [
        f"{kind}{apart} {own}" if kind.endswith("*") else f"{kind} {own}"
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
        f"  const {scalars.type_name(d)} f{n} = {scalars.convert(f'g{n}', DTYPES['f64'], d)};"
        for n, d in enumerate(kernel.floats)
    ]
    return "\n".join([*head, *e.lines, "}"])


def _may_overlap(kernel: Kernel) -> bool:
    """Whether an output may lie in the memory of an input of another dtype."""
    return any(
        a.mode == "in" and b.mode != "in" and a.dtype != b.dtype
        and a.dtype.itemsize == b.dtype.itemsize
        for a in kernel.buffers
        for b in kernel.buffers
    )  # fmt: skip
