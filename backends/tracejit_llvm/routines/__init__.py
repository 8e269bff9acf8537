"""Library calls answered by functions of our own, written as LLVM text."""
