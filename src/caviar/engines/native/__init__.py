"""How a loop in C++ steps lanes."""
