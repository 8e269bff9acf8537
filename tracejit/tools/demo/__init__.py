"""The demonstration: a tsunami over real bathymetry, forward and differentiated.

``elevation`` reads the bed, ``source`` lifts the sea, ``shallow_water`` is one time step,
``simulation`` steps it inside one compiled program, ``inversion`` differentiates through all of
that, ``figures`` and ``animation`` draw, ``run`` is the command.  Numerics are written against an
array module ``xp``; ``engines`` says which ones there are.
"""
