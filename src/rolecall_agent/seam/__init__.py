"""The parts of `System`, the interface to the machine, each with the values that it takes and returns."""
