"""Writer: lines of CUDA C++, and the expressions of a kernel as names in them.

An expression is written once in the innermost open scope that needs it; what was written in a scope
around is used again.  Offsets are computed in ``idx``, which the host chose so that they fit;
integers that are data are ``long long``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tracejit.ir.dtypes import DTYPES
from tracejit.ir.kernel import Kernel
from tracejit.ir.scalar import Expr, IndexVar, Loop, Size, free_vars, split_affine, value_of, walk
from tracejit_cuda import scalars

__all__ = ["Writer"]

I64 = "long long"


class Writer:
    """The text of one device function.

    Parameters
    ----------
    kernel : Kernel
        Whose buffers, sizes and floats the expressions name.

    Attributes
    ----------
    lines : list of str
        What was written.
    instead : dict of Expr to str
        Loads whose values were fetched ahead.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.lines: list[str] = []
        self.depth = 1
        self.fresh = 0
        self.scopes: list[dict[tuple[Expr, bool], str]] = [{}]
        self.instead: dict[Expr, str] = {}
        self.variables: dict[IndexVar, str] = {}

    # -------------------------------------------------------------------- lines

    def line(self, text: str) -> None:
        """Write a line."""
        self.lines.append("  " * self.depth + text)

    @contextmanager
    def block(self, head: str = "", tail: str = "") -> Iterator[None]:
        """Write ``head { ... }tail``; what is computed inside is forgotten after it."""
        self.line(f"{head} {{" if head else "{")
        self.depth += 1
        self.scopes.append({})
        yield
        self.scopes.pop()
        self.depth -= 1
        self.line("}" + tail)

    def name(self, stem: str = "t") -> str:
        """Return a name that was not used."""
        self.fresh += 1
        return f"{stem}{self.fresh}"

    def declare(self, kind: str, text: str, stem: str = "t") -> str:
        """Write a constant with a value, and return its name."""
        name = self.name(stem)
        self.line(f"const {kind} {name} = {text};")
        return name

    # --------------------------------------------------------------- expressions

    def bind(self, e: Expr, name: str) -> None:
        """Let an expression be a name in the innermost scope."""
        self.scopes[-1][e, False] = name

    def forget_loads(self, buffers: Iterable[int]) -> None:
        """Forget every value that was computed from what lies in `buffers`."""
        gone = set(buffers)
        if not gone:
            return
        tainted: set[Expr] = set()
        for e in walk(e for scope in self.scopes for e, _ in scope):
            if (e.op == "load" and e.attr in gone) or any(a in tainted for a in e.args):
                tainted.add(e)
        for scope in self.scopes:
            for key in [k for k in scope if k[0] in tainted]:
                del scope[key]

    def integer(self, n: int | Size) -> str:
        """Return an integer of the kernel as an ``idx``."""
        return f"m{n.number}" if isinstance(n, Size) else f"({n})" if n < 0 else str(n)

    def _wide(self, n: int | Size) -> str:
        return f"n{n.number}" if isinstance(n, Size) else scalars.literal(n, DTYPES["i64"])

    def value(self, root: Expr) -> str:
        """Return the name of an expression's value, in its compute type."""
        return self._write(root, False)

    def offset(self, root: Expr) -> str:
        """Return an offset, as an ``idx``."""
        return self._write(root, True)

    def _found(self, e: Expr, narrow: bool) -> str | None:
        if e.op == "index":
            name = self.variables[e.attr]
            return name if narrow else f"({I64}){name}"
        if e in self.instead:
            return self.instead[e]
        if e.op == "const":
            return str(value_of(e)) if narrow else scalars.literal(value_of(e), e.dtype)
        if e.op == "float":
            return f"f{e.attr}"
        for scope in reversed(self.scopes):
            found = scope.get((e, narrow))
            if found is not None:
                return found
        if e.op == "ref":
            raise KeyError(f"{e.attr} is used before it is reduced")
        return None

    def _needs(self, e: Expr, narrow: bool) -> list[tuple[Expr, bool]]:
        if e.op == "load":
            return [(e.args[0], True)]
        if e.op == "affine":
            # Within an offset, what is no loop variable is computed wide and narrowed.
            return [(a, narrow and a.op in ("index", "affine")) for a in e.args]
        if narrow:
            return [(e, False)]
        return [(a, False) for a in e.args]

    def _write(self, root: Expr, narrow: bool) -> str:
        stack = [(root, narrow)]
        while stack:
            e, slim = stack[-1]
            if self._found(e, slim) is not None:
                stack.pop()
                continue
            waiting = [n for n in self._needs(e, slim) if self._found(*n) is None]
            if waiting:
                stack.extend(reversed(waiting))
                continue
            stack.pop()
            kind = "idx" if slim else scalars.type_name(e.dtype)
            self.scopes[-1][e, slim] = self.declare(kind, self._text(e, slim))
        found = self._found(root, narrow)
        assert found is not None
        return found

    def _text(self, e: Expr, narrow: bool) -> str:
        needs = self._needs(e, narrow)
        args = [self._found(a, slim) or "" for a, slim in needs]
        if e.op == "load":
            return scalars.load(f"b{e.attr} + {args[0]}", e.dtype)
        if e.op == "affine":
            constant, terms = split_affine(e)
            integer = self.integer if narrow else self._wide
            parts = []
            for (c, _), (a, slim), text in zip(terms, needs, args, strict=True):
                cast = f"(idx){text}" if narrow and not slim else text
                parts.append(cast if c == 1 and isinstance(c, int) else f"{integer(c)} * {cast}")
                del a
            if constant != 0 or isinstance(constant, Size) or not parts:
                parts.append(integer(constant))
            return " + ".join(parts)
        if narrow:
            return f"(idx){args[0]}"
        if e.op == "convert":
            return scalars.convert(args[0], e.args[0].dtype, e.dtype)
        if e.op == "bitcast":
            return scalars.bitcast(args[0], e.args[0].dtype, e.dtype)
        operand = e.args[1].dtype if e.op == "select" else e.args[0].dtype
        return scalars.pointwise(e.op, args, operand, e.dtype)

    # -------------------------------------------------------------------- loops

    def ranges(self, loops: Sequence[Loop]) -> tuple[list[tuple[str, str]], str]:
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

    def spread(self, total: str, first: str, step: str, stack: ExitStack) -> str:
        """Open a loop over ``first, first + step, ... < total``; return its variable."""
        var = self.name("k")
        stack.enter_context(
            self.block(f"for (idx {var} = {first}; {var} < {total}; {var} += {step})")
        )
        return var

    def unflatten(
        self, flat: str, loops: Sequence[Loop], ranges: Sequence[tuple[str, str]]
    ) -> None:
        """Write the variables of loops from the number of an iteration; the last runs fastest."""
        rest = flat
        for n in range(len(loops) - 1, -1, -1):
            first, length = ranges[n]
            if n == 0:
                at = rest
            else:
                quotient = self.declare("uidx", f"(uidx){rest} / (uidx){length}", "q")
                at = f"((uidx){rest} - {quotient} * (uidx){length})"
                rest = quotient
            text = f"(idx){at}" if first == "0" else f"{first} + (idx){at}"
            self.variables[loops[n].var] = self.declare("idx", text, "i")

    def stores(self, items: list[tuple[int, Expr, Expr]]) -> None:
        """Write stores that follow one another: all that they read is read before."""
        ready = [(b, self.offset(at), self.value(x)) for b, at, x in items]
        for b, at, x in ready:
            self.line(scalars.store(f"b{b} + {at}", x, self.kernel.buffers[b].dtype) + ";")
        self.forget_loads(b for b, _, _ in items)

    def hoist(self, roots: Iterable[Expr], variables: Iterable[IndexVar]) -> None:
        """Write what `roots` need that no loop over `variables` changes."""
        moving = frozenset(variables)
        stack = list(roots)
        seen: set[Expr] = set()
        while stack:
            e = stack.pop()
            if e in seen:
                continue
            seen.add(e)
            if free_vars(e) & moving:
                stack.extend(e.args)
            elif e.args and e.op != "affine":
                self.value(e)
