"""Matrix products by the BLAS that SciPy carries, called through its capsules without the GIL.

Small ones are done here: a product whose rows fit one vector takes some tens of nanoseconds, less
than a call of BLAS takes to begin.
"""

from __future__ import annotations

import ctypes
from typing import Any

__all__ = ["blas_symbols", "matmul_cost", "matmul_name", "matmul_text"]

LONGEST_SUM = 16
"""Rows of `b` up to which a product is done here; its columns are at most the lanes."""
BLAS_IS_SERIAL = 64**3
"""Multiplications of one product up to which OpenBLAS uses one thread, so that ours may share."""

_TYPES = {"float32": ("sgemm", "float", 16), "float64": ("dgemm", "double", 8)}


def blas_symbols() -> dict[str, int]:
    """Return the addresses of ``dgemm`` and ``sgemm``; SciPy is imported now."""
    from scipy.linalg import cython_blas

    get_name = ctypes.pythonapi.PyCapsule_GetName
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype = ctypes.c_void_p
    get_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    capsules: dict[str, Any] = cython_blas.__pyx_capi__
    return {
        name: get_pointer(capsules[name], get_name(capsules[name]))
        for name, _, _ in _TYPES.values()
    }


def matmul_name(dtype: Any) -> str:
    """Return the name of the native function for a dtype."""
    return f"matmul_{_TYPES[dtype.name][0]}"


def matmul_cost(params: tuple[int, ...]) -> tuple[float, bool]:
    """Return estimated nanoseconds on one core, and whether our threads may share the batch."""
    batch, m, n, k = params[:4]
    return batch * (20.0 + 0.04 * m * n * k), batch > 1 and m * n * k <= BLAS_IS_SERIAL


def matmul_text() -> str:
    """Return LLVM text of the native functions ``matmul_dgemm`` and ``matmul_sgemm``.

    They have the signature of a kernel, whose rows are the batch; the sizes are ``(batch, m, n, k,
    transpose_a, transpose_b)``.  Row-major ``C = A B`` is column-major ``C' = B' A'``.
    """
    parts = ["declare i32 @llvm.smax.i32(i32, i32)\n"]
    for gemm, scalar, lanes in _TYPES.values():
        short = f"v{lanes}f{'32' if scalar == 'float' else '64'}"
        parts.append(
            _TEXT.replace("GEMM", gemm)
            .replace("VECTOR", f"<{lanes} x {scalar}>")
            .replace("MASK", f"<{lanes} x i1>")
            .replace("INDICES", f"<{lanes} x i64>")
            .replace("POINTERS", f"<{lanes} x ptr>")
            .replace("NUMBERS", ", ".join(f"i64 {n}" for n in range(lanes)))
            .replace("SCALAR", scalar)
            .replace("SHORT", short)
            .replace("LANES", str(lanes))
            .replace("ALIGN", "4" if scalar == "float" else "8")
            .replace("LONGEST", str(LONGEST_SUM))
        )
    return "".join(parts)


_TEXT = """
declare void @GEMM(ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr)
declare VECTOR @llvm.masked.load.SHORT.p0(ptr, i32, MASK, VECTOR)
declare VECTOR @llvm.masked.gather.SHORT.vLANESp0(POINTERS, i32, MASK, VECTOR)
declare void @llvm.masked.store.SHORT.p0(VECTOR, ptr, i32, MASK)
declare VECTOR @llvm.fma.SHORT(VECTOR, VECTOR, VECTOR)

; One product with n <= LANES: a row of the result is a vector.
define internal void @small_GEMM(ptr %a, ptr %b, ptr %c, i64 %m, i64 %n, i64 %k, i1 %ta, i1 %tb) {
entry:
  %a.row = select i1 %ta, i64 1, i64 %k
  %a.column = select i1 %ta, i64 %m, i64 1
  %b.row = select i1 %tb, i64 1, i64 %n
  %n0 = insertelement INDICES poison, i64 %n, i64 0
  %ns = shufflevector INDICES %n0, INDICES poison, <LANES x i32> zeroinitializer
  %k0 = insertelement INDICES poison, i64 %k, i64 0
  %ks = shufflevector INDICES %k0, INDICES poison, <LANES x i32> zeroinitializer
  %mask = icmp slt INDICES <NUMBERS>, %ns
  %strided = mul INDICES <NUMBERS>, %ks
  %some = icmp sgt i64 %m, 0
  br i1 %some, label %rows, label %done
rows:
  %i = phi i64 [ 0, %entry ], [ %i1, %row.done ]
  %any = icmp sgt i64 %k, 0
  %ai = mul i64 %i, %a.row
  %pai = getelementptr SCALAR, ptr %a, i64 %ai
  br i1 %any, label %sum, label %row.done
sum:
  %p = phi i64 [ 0, %rows ], [ %p1, %sum.next ]
  %acc = phi VECTOR [ zeroinitializer, %rows ], [ %acc1, %sum.next ]
  %ap = mul i64 %p, %a.column
  %paip = getelementptr SCALAR, ptr %pai, i64 %ap
  %x = load SCALAR, ptr %paip
  %x0 = insertelement VECTOR poison, SCALAR %x, i64 0
  %xs = shufflevector VECTOR %x0, VECTOR poison, <LANES x i32> zeroinitializer
  %bp = mul i64 %p, %b.row
  %pb = getelementptr SCALAR, ptr %b, i64 %bp
  br i1 %tb, label %column, label %line
line:
  %y.line = call VECTOR @llvm.masked.load.SHORT.p0(ptr %pb, i32 ALIGN, MASK %mask, VECTOR zeroinitializer)
  br label %sum.next
column:
  %pbs = getelementptr SCALAR, ptr %pb, INDICES %strided
  %y.column = call VECTOR @llvm.masked.gather.SHORT.vLANESp0(POINTERS %pbs, i32 ALIGN, MASK %mask, VECTOR zeroinitializer)
  br label %sum.next
sum.next:
  %y = phi VECTOR [ %y.line, %line ], [ %y.column, %column ]
  %acc1 = call VECTOR @llvm.fma.SHORT(VECTOR %xs, VECTOR %y, VECTOR %acc)
  %p1 = add i64 %p, 1
  %more = icmp slt i64 %p1, %k
  br i1 %more, label %sum, label %row.done
row.done:
  %result = phi VECTOR [ zeroinitializer, %rows ], [ %acc1, %sum.next ]
  %ci = mul i64 %i, %n
  %pci = getelementptr SCALAR, ptr %c, i64 %ci
  call void @llvm.masked.store.SHORT.p0(VECTOR %result, ptr %pci, i32 ALIGN, MASK %mask)
  %i1 = add i64 %i, 1
  %again = icmp slt i64 %i1, %m
  br i1 %again, label %rows, label %done
done:
  ret void
}

define void @matmul_GEMM(ptr %buffers, ptr %sizes, ptr %floats, i64 %begin, i64 %end) {
entry:
  %one = alloca SCALAR
  %zero = alloca SCALAR
  %flag_a = alloca i8
  %flag_b = alloca i8
  %m32 = alloca i32
  %n32 = alloca i32
  %k32 = alloca i32
  %lda32 = alloca i32
  %ldb32 = alloca i32
  %ldc32 = alloca i32
  %pb = getelementptr ptr, ptr %buffers, i64 1
  %pc = getelementptr ptr, ptr %buffers, i64 2
  %a = load ptr, ptr %buffers
  %b = load ptr, ptr %pb
  %c = load ptr, ptr %pc
  %p1 = getelementptr i64, ptr %sizes, i64 1
  %p2 = getelementptr i64, ptr %sizes, i64 2
  %p3 = getelementptr i64, ptr %sizes, i64 3
  %p4 = getelementptr i64, ptr %sizes, i64 4
  %p5 = getelementptr i64, ptr %sizes, i64 5
  %m = load i64, ptr %p1
  %n = load i64, ptr %p2
  %k = load i64, ptr %p3
  %ta = load i64, ptr %p4
  %tb = load i64, ptr %p5
  %tai = icmp ne i64 %ta, 0
  %tbi = icmp ne i64 %tb, 0
  %fa = select i1 %tai, i8 84, i8 78
  %fb = select i1 %tbi, i8 84, i8 78
  %mt = trunc i64 %m to i32
  %nt = trunc i64 %n to i32
  %kt = trunc i64 %k to i32
  %lda0 = select i1 %tai, i32 %mt, i32 %kt
  %ldb0 = select i1 %tbi, i32 %kt, i32 %nt
  ; BLAS wants leading dimensions of at least 1, of empty matrices too.
  %lda = call i32 @llvm.smax.i32(i32 %lda0, i32 1)
  %ldb = call i32 @llvm.smax.i32(i32 %ldb0, i32 1)
  %ldc = call i32 @llvm.smax.i32(i32 %nt, i32 1)
  store SCALAR 1.0, ptr %one
  store SCALAR 0.0, ptr %zero
  store i8 %fa, ptr %flag_a
  store i8 %fb, ptr %flag_b
  store i32 %mt, ptr %m32
  store i32 %nt, ptr %n32
  store i32 %kt, ptr %k32
  store i32 %lda, ptr %lda32
  store i32 %ldb, ptr %ldb32
  store i32 %ldc, ptr %ldc32
  %mk = mul i64 %m, %k
  %kn = mul i64 %k, %n
  %mn = mul i64 %m, %n
  %narrow = icmp sle i64 %n, LANES
  %short = icmp sle i64 %k, LONGEST
  %low = icmp sle i64 %m, 32
  %small0 = and i1 %narrow, %short
  %small = and i1 %small0, %low
  br label %head
head:
  %i = phi i64 [ %begin, %entry ], [ %i1, %next ]
  %more = icmp slt i64 %i, %end
  br i1 %more, label %body, label %done
body:
  %ao = mul i64 %i, %mk
  %bo = mul i64 %i, %kn
  %co = mul i64 %i, %mn
  %ai = getelementptr SCALAR, ptr %a, i64 %ao
  %bi = getelementptr SCALAR, ptr %b, i64 %bo
  %ci = getelementptr SCALAR, ptr %c, i64 %co
  br i1 %small, label %here, label %blas
here:
  call void @small_GEMM(ptr %ai, ptr %bi, ptr %ci, i64 %m, i64 %n, i64 %k, i1 %tai, i1 %tbi)
  br label %next
blas:
  call void @GEMM(ptr %flag_b, ptr %flag_a, ptr %n32, ptr %m32, ptr %k32, ptr %one, ptr %bi, ptr %ldb32, ptr %ai, ptr %lda32, ptr %zero, ptr %ci, ptr %ldc32)
  br label %next
next:
  %i1 = add i64 %i, 1
  br label %head
done:
  ret void
}
"""  # noqa: E501
