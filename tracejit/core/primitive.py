"""Primitives, and the tables of rules that interpret them.

``define`` is the one place of an op: it takes the six rules, or for each that is left out a
sentence saying why there is none.  The sentence becomes the error.

The signatures of the rules (``operands`` are positional, ``params`` keyword-only):

==========  =========================================================================
impl        ``impl(xp, *arrays, **params) -> array``; `xp` is ``numpy`` or ``cupy``
shape       ``shape(*avals, **params) -> ShapedArray``
jvp         ``jvp(primals, tangents, **params) -> (out, tangent_out)``; a tangent may be
            :class:`~tracejit.core.zeros.Zero`, and so may the result; never all of them
transpose   ``transpose(ct, *operands, **params) -> cotangents``, one an operand, ``None``
            for operands that are not linear; linear operands arrive as
            :class:`~tracejit.core.zeros.Linear`, the others as values
batch       ``batch(operands, axes, **params) -> (out, out_axis)``; an axis is an int, or
            ``None`` for an operand that is not batched; never all of them
lower       ``lower(k, *loaders, **params) -> loader`` (:mod:`tracejit.compiler.lower`)
==========  =========================================================================

Primitives with ``multiple=True`` return lists where the others return one value: outputs,
tangents, cotangents (their transpose takes a list of cotangents, :class:`Zero` among them),
output axes, loaders.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracejit.core.errors import MissingRuleError
from tracejit.core.interpreter import current_interpreter
from tracejit.ir.avals import ShapedArray

__all__ = ["PRIMITIVES", "TABLES", "Primitive", "RuleTable", "define"]

PRIMITIVES: dict[str, Primitive] = {}
"""Every primitive, by name."""

_MOST_SHAPES = 4096
"""Signatures of one primitive whose results are remembered."""


class Primitive:
    """A named operation.  All of its meaning lives in rule tables.

    Attributes
    ----------
    name : str
        Unique.
    multiple : bool
        Whether it has a list of outputs rather than one.
    effectful : bool
        Whether it does more than compute its outputs, so that it is never dropped or moved.
    keeps_weak : bool
        Whether outputs are weak when all operands are.
    control : bool
        Whether its params hold Programs that it runs.
    host : bool
        Whether it runs on the host, wherever its operands are: its rule `impl` gets NumPy arrays
        only, and is never tried twice.
    compiled_from : int or None
        Elements of a result from which it is compiled where it is evaluated on the host, because
        the arithmetic of its rule `impl` is slow there; never if ``None``.
    """

    __slots__ = (
        "compiled_from", "control", "effectful", "host", "keeps_weak", "multiple", "name",
        "shape_cache",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        multiple: bool = False,
        effectful: bool = False,
        keeps_weak: bool = True,
        control: bool = False,
        host: bool = False,
        compiled_from: int | None = None,
    ) -> None:
        if name in PRIMITIVES:
            raise ValueError(f"primitive {name!r} is already defined")
        self.name = name
        self.multiple = multiple
        self.effectful = effectful
        self.keeps_weak = keeps_weak
        self.control = control
        self.host = host
        self.compiled_from = compiled_from
        self.shape_cache: dict[Any, Any] = {}
        PRIMITIVES[name] = self

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return PRIMITIVES.__getitem__, (self.name,)

    def bind(self, *operands: Any, **params: Any) -> Any:
        """Apply the primitive under the current interpreter.

        Parameters
        ----------
        *operands : Array, Tracer, numpy.ndarray, numpy scalar or Python scalar
            The operands.
        **params : hashable
            The static parameters.

        Returns
        -------
        Array or Tracer, or a list of them if `multiple`
            What the interpreter makes of it.
        """
        return current_interpreter().process(self, operands, params)

    def result_avals(
        self, avals: tuple[ShapedArray, ...], params: dict[str, Any]
    ) -> tuple[ShapedArray, ...]:
        """Return the avals of the outputs; memoised over operand avals and params."""
        if self.control:  # its params say; they are not to be kept alive here
            return self._infer(avals, params)
        key = (avals, *params.items()) if params else avals
        try:
            found = self.shape_cache.get(key)
        except TypeError:  # a param that does not hash: not memoised
            return self._infer(avals, params)
        if found is None:
            if len(self.shape_cache) >= _MOST_SHAPES:  # params may hold what a user made
                self.shape_cache.clear()
            found = self.shape_cache[key] = self._infer(avals, params)
        result: tuple[ShapedArray, ...] = found
        return result

    def _infer(
        self, avals: tuple[ShapedArray, ...], params: dict[str, Any]
    ) -> tuple[ShapedArray, ...]:
        out = shape[self](*avals, **params)
        outs = tuple(out) if self.multiple else (out,)
        if self.keeps_weak and avals and all(a.weak for a in avals):
            outs = tuple(ShapedArray(a.shape, a.dtype, True) for a in outs)
        return outs


class RuleTable:
    """The rules of one interpretation, by primitive."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._rules: dict[Primitive, Callable[..., Any]] = {}
        self.absent: dict[Primitive, str] = {}

    def __setitem__(self, primitive: Primitive, rule: Callable[..., Any]) -> None:
        if primitive in self._rules:
            raise ValueError(f"the {self.name} rule of {primitive} is already defined")
        self._rules[primitive] = rule

    def __contains__(self, primitive: Primitive) -> bool:
        return primitive in self._rules

    def __getitem__(self, primitive: Primitive) -> Callable[..., Any]:
        try:
            return self._rules[primitive]
        except KeyError:
            why = self.absent.get(primitive, "no rule was registered")
            raise MissingRuleError(f"there is no {self.name} of {primitive}: {why}") from None

    def get(self, primitive: Primitive) -> Callable[..., Any] | None:
        """Return the rule, or ``None``."""
        return self._rules.get(primitive)


impl = RuleTable("evaluation")
shape = RuleTable("shape")
jvp = RuleTable("derivative")
transpose = RuleTable("transposition")
batch = RuleTable("batching")
lower = RuleTable("loop lowering")

TABLES: dict[str, RuleTable] = {
    "impl": impl,
    "shape": shape,
    "jvp": jvp,
    "transpose": transpose,
    "batch": batch,
    "lower": lower,
}
"""The six tables, by the name of their slot in :func:`define`."""


def define(
    name: str,
    *,
    multiple: bool = False,
    effectful: bool = False,
    keeps_weak: bool = True,
    control: bool = False,
    host: bool = False,
    compiled_from: int | None = None,
    **rules: Callable[..., Any] | str,
) -> Primitive:
    """Define a primitive with all of its rules.

    Parameters
    ----------
    name : str
        A name not yet taken.
    multiple, effectful, keeps_weak, control, host, compiled_from
        See :class:`Primitive`.
    impl, shape, jvp, transpose, batch, lower : callable or str
        The rule, or a sentence that says why there is none.

    Returns
    -------
    Primitive
        The primitive, registered.

    Raises
    ------
    TypeError
        If a slot is left out, or is none of the six.
    """
    primitive = Primitive(name, multiple, effectful, keeps_weak, control, host, compiled_from)
    missing, unknown = TABLES.keys() - rules.keys(), rules.keys() - TABLES.keys()
    if missing or unknown:
        del PRIMITIVES[name]
        raise TypeError(
            f"define({name!r}): give a rule or a reason for each of {', '.join(TABLES)}; "
            f"missing {sorted(missing)}, unknown {sorted(unknown)}"
        )
    for slot, rule in rules.items():
        if isinstance(rule, str):
            TABLES[slot].absent[primitive] = rule
        else:
            TABLES[slot][primitive] = rule
    return primitive
