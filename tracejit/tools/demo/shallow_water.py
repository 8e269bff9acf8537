"""One step of the two-dimensional shallow-water equations over any bed.

The scheme is a finite-volume one on a uniform grid of cells: unsplit, second order in space (minmod
slopes of depth, surface and velocity) and in time (Heun's method, the strong-stability-preserving
Runge-Kutta method of two stages), with

* the hydrostatic reconstruction of [1]_, which keeps a lake at rest at rest to round-off, shores
  included, and depths non-negative;
* the HLL flux of [2]_, the transverse momentum carried upwind by the mass flux;
* velocities from momentum and depth by the regularised quotient of [3]_, so that thin films stay
  slow and no denominator vanishes.

Everything is pure and written with slices, ``concatenate``, ``where``, ``maximum``, ``minimum``,
``sqrt`` and arithmetic of an array module `xp`: NumPy, ``jax.numpy`` and ``tracejit.numpy`` all
serve.  Every operation has a finite derivative at every state, dry cells included.

Arrays are indexed ``[row, column]``, row 0 in the south and column 0 in the west.  The state is
``(h, hu, hv)``: depth, and discharge to the east and to the north.  The surface of the sea at rest
is at level 0 and `bed` is the elevation of the ground, negative under the sea.

References
----------
.. [1] E. Audusse, F. Bouchut, M.-O. Bristeau, R. Klein and B. Perthame, "A fast and stable
   well-balanced scheme with hydrostatic reconstruction for shallow water flows", SIAM J. Sci.
   Comput. 25 (2004) 2050-2065.
.. [2] A. Harten, P. D. Lax and B. van Leer, "On upstream differencing and Godunov-type schemes for
   hyperbolic conservation laws", SIAM Review 25 (1983) 35-61.
.. [3] A. Kurganov and G. Petrova, "A second-order well-balanced positivity preserving
   central-upwind scheme for the Saint-Venant system", Commun. Math. Sci. 5 (2007) 133-160.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

__all__ = ["DRAG", "GRAVITY", "Border", "State", "stable_step", "step", "still_water", "velocity"]

Array = Any
"""An array of the module `xp`: NumPy's, JAX's or tracejit's."""
State = tuple[Array, Array, Array]
Border = Literal["open", "reflecting"]

GRAVITY = 9.81
DRAG = 2.5e-3
"""Coefficient of the quadratic drag of the bed."""
THIN = 1e-3
"""Depth in metres under which velocities fade."""
FILM = 1e-8
"""Least depth in metres under the root of the wave speed: its derivative stays finite."""


def still_water(bed: Array, xp: Any) -> State:
    """Return the sea at rest at level 0.

    Parameters
    ----------
    bed : array, shape (rows, columns)
        Elevation of the ground in metres.
    xp : module
        The array module.

    Returns
    -------
    tuple of three arrays, shape of `bed`
        Depth, and discharges, which are zero.
    """
    h = xp.maximum(-bed, 0.0)
    return h, xp.zeros_like(h), xp.zeros_like(h)


def stable_step(
    depth: np.ndarray[Any, Any], dx: float, dy: float, *, rise: float = 0.0, courant: float = 0.8
) -> float:
    """Return a time step that is stable for as long as depth and speed stay near the given ones.

    Parameters
    ----------
    depth : numpy.ndarray
        Depths in metres; the deepest decides.
    dx, dy : float
        Sides of a cell in metres.
    rise : float
        What a wave may add to the depth, in metres.
    courant : float
        Bound on ``dt * (c / dx + c / dy)``.  The scheme is linearly stable up to 1.  Depths are
        proved non-negative where the local speed gives at most 1/2, which in an ocean all of the
        shore and shelf does: waves there are several times slower than over the deepest cell.

    Returns
    -------
    float
        The time step in seconds.
    """
    speed = float(np.sqrt(GRAVITY * (float(np.max(depth)) + abs(rise))))
    return courant / (speed / dx + speed / dy)


def velocity(h: Array, q: Array, xp: Any) -> Array:
    """Return the velocity of a depth and a discharge, fading to 0 in films under `THIN`."""
    return 2.0 * h * q / (h * h + xp.maximum(h * h, THIN * THIN))


def step(
    state: State,
    bed: Array,
    dx: Array,
    dy: Array,
    dt: Array,
    xp: Any,
    *,
    border: Border = "open",
    order: int = 2,
    drag: float = DRAG,
) -> State:
    """Advance the state by one time step.

    Parameters
    ----------
    state : tuple of three arrays, shape (rows, columns)
        Depth in m, discharges to the east and the north in m^2/s.
    bed : array, shape (rows, columns)
        Elevation of the ground in metres.
    dx, dy, dt : float or scalar array
        Sides of a cell in metres, time step in seconds.
    xp : module
        The array module.
    border : {"open", "reflecting"}
        Beyond an open border lies a sea at rest, so waves leave; a reflecting one is a wall.
    order : {1, 2}
        2 is the scheme described above; 1 has constant cells and Euler's method.
    drag : float
        Coefficient of the quadratic drag of the bed; 0 for none.

    Returns
    -------
    tuple of three arrays, shape (rows, columns)
        The state a time step later.
    """
    new = _euler(state, bed, dx, dy, dt, xp, border, order)
    if order == 2:
        h, hu, hv = _euler(new, bed, dx, dy, dt, xp, border, order)
        new = 0.5 * (state[0] + h), 0.5 * (state[1] + hu), 0.5 * (state[2] + hv)
    return _drag(new, dt, xp, drag)


def _drag(state: State, dt: Array, xp: Any, drag: float) -> State:
    # Implicit in the speed, so stable for any film.  Discharges become depth times the velocity
    # that the fluxes will see.
    h, hu, hv = state
    recip = 2.0 / (h * h + xp.maximum(h * h, THIN * THIN))
    u, v = h * hu * recip, h * hv * recip
    speed = xp.sqrt(u * u + v * v + 1e-12)
    kept = h / (1.0 + dt * drag * speed * h * recip)
    return h, kept * u, kept * v


def _euler(
    state: State, bed: Array, dx: Array, dy: Array, dt: Array, xp: Any, border: Border, order: int
) -> State:
    h, hu, hv = state
    u, v = velocity(h, hu, xp), velocity(h, hv, xp)
    mass_x, along_x, across_x = _sweep(h, bed, u, v, 1, xp, border, order)
    mass_y, along_y, across_y = _sweep(h, bed, v, u, 0, xp, border, order)
    rx, ry = dt / dx, dt / dy
    return (
        h - rx * mass_x - ry * mass_y,
        hu - rx * along_x - ry * across_y,
        hv - rx * across_x - ry * along_y,
    )


def _sweep(
    h: Array, bed: Array, un: Array, ut: Array, axis: int, xp: Any, border: Border, order: int
) -> State:
    """Return what each cell loses along an axis: mass, momentum along it, momentum across it.

    `un` and `ut` are the velocities along and across the axis.
    """
    h, w, un, ut = _with_ghosts(h, bed, un, ut, axis, xp, border, order)
    h_lo, h_hi = _cell_ends(h, axis, xp, order)
    w_lo, w_hi = _cell_ends(w, axis, xp, order)
    un_lo, un_hi = _cell_ends(un, axis, xp, order)
    ut_lo, ut_hi = _cell_ends(ut, axis, xp, order)
    z_lo, z_hi = w_lo - h_lo, w_hi - h_hi

    # Both sides of a face see the higher of the two beds [1].
    z = xp.maximum(_head(z_hi, axis), _tail(z_lo, axis))
    hl = xp.maximum(_head(w_hi, axis) - z, 0.0)
    hr = xp.maximum(_tail(w_lo, axis) - z, 0.0)
    ul, ur = _head(un_hi, axis), _tail(un_lo, axis)
    mass, momentum = _hll(hl, ul, hr, ur, xp)
    across = mass * xp.where(mass > 0.0, _head(ut_hi, axis), _tail(ut_lo, axis))

    # The pressure that the reconstruction took off a side of the face, given back to its cell.
    half = 0.5 * GRAVITY
    left = momentum + half * (_head(h_hi * h_hi, axis) - hl * hl)
    right = momentum + half * (_tail(h_lo * h_lo, axis) - hr * hr)
    inner_lo, inner_hi = _inner(h_lo, axis), _inner(h_hi, axis)
    slope = half * (inner_lo + inner_hi) * (_inner(z_hi, axis) - _inner(z_lo, axis))
    return (
        _tail(mass, axis) - _head(mass, axis),
        _tail(left, axis) - _head(right, axis) + slope,
        _tail(across, axis) - _head(across, axis),
    )


def _with_ghosts(
    h: Array, bed: Array, un: Array, ut: Array, axis: int, xp: Any, border: Border, order: int
) -> tuple[Array, Array, Array, Array]:
    """Return depth, surface and velocities with `order` cells more on both ends of an axis."""
    w = h + bed
    if border == "reflecting":
        return (
            _mirrored(h, 1.0, axis, xp, order),
            _mirrored(w, 1.0, axis, xp, order),
            _mirrored(un, -1.0, axis, xp, order),
            _mirrored(ut, 1.0, axis, xp, order),
        )
    first, last = _cut(bed, axis, 0, 1), _cut(bed, axis, -1, None)
    still = xp.zeros_like(first)

    def extend(a: Array, below: Array, above: Array) -> Array:
        return xp.concatenate([*[below] * order, a, *[above] * order], axis=axis)

    return (
        extend(h, xp.maximum(-first, 0.0), xp.maximum(-last, 0.0)),
        extend(w, xp.maximum(first, 0.0), xp.maximum(last, 0.0)),
        extend(un, still, still),
        extend(ut, still, still),
    )


def _mirrored(a: Array, sign: float, axis: int, xp: Any, order: int) -> Array:
    below = [sign * _cut(a, axis, i, i + 1) for i in reversed(range(order))]
    above = [sign * _cut(a, axis, -1 - i, -i or None) for i in range(order)]
    return xp.concatenate([*below, a, *above], axis=axis)


def _cell_ends(a: Array, axis: int, xp: Any, order: int) -> tuple[Array, Array]:
    """Return the values at the low and the high end of each cell."""
    if order == 1:
        return a, a
    d = _tail(a, axis) - _head(a, axis)
    before, after = _head(d, axis), _tail(d, axis)
    # minmod: the smaller of two slopes of one sign, else 0
    slope = xp.maximum(xp.minimum(before, after), 0.0) + xp.minimum(xp.maximum(before, after), 0.0)
    centre = _inner(a, axis)
    return centre - 0.5 * slope, centre + 0.5 * slope


def _hll(hl: Array, ul: Array, hr: Array, ur: Array, xp: Any) -> tuple[Array, Array]:
    """Return the fluxes of mass and momentum of two states at a face."""
    cl = xp.sqrt(GRAVITY * xp.maximum(hl, FILM))
    cr = xp.sqrt(GRAVITY * xp.maximum(hr, FILM))
    # cl and cr are positive, so the fastest waves never coincide
    al = xp.minimum(xp.minimum(ul - cl, ur - cr), 0.0)
    ar = xp.maximum(xp.maximum(ul + cl, ur + cr), 0.0)
    recip = 1.0 / (ar - al)
    ql, qr = hl * ul, hr * ur
    fl = ql * ul + 0.5 * GRAVITY * hl * hl
    fr = qr * ur + 0.5 * GRAVITY * hr * hr
    mass = (ar * ql - al * qr + al * ar * (hr - hl)) * recip
    momentum = (ar * fl - al * fr + al * ar * (qr - ql)) * recip
    return mass, momentum


def _cut(a: Array, axis: int, start: int | None, stop: int | None) -> Array:
    return a[start:stop] if axis == 0 else a[:, start:stop]


def _head(a: Array, axis: int) -> Array:
    return _cut(a, axis, None, -1)


def _tail(a: Array, axis: int) -> Array:
    return _cut(a, axis, 1, None)


def _inner(a: Array, axis: int) -> Array:
    return _cut(a, axis, 1, -1)
