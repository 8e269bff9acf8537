"""Tools around the library: the ``tracejit`` command and what it runs."""
