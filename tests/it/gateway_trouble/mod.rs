//! A gateway that refuses, hangs, resets or answers nonsense.

mod answers;
mod out_of_reach;
mod tls;
