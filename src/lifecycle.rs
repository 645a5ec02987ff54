//! Start and stop: signals, the two steps of a stop, exit codes.
