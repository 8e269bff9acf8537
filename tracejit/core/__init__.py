"""What it means to bind an operation: primitives, rule tables, interpreters, arrays, pytrees."""
