//! A disk that accepts no more writes: the server fails closed, names the reason, and recovers when the disk works
//! again. It ends when it is unknown what the disk has.
//!
//! The trouble is real: the tests damage files, or load a library into the program that makes calls fail.
//! `embedded::tests` of the store has each operation.

pub mod damage;
mod hangs;
mod refusals;
mod start_and_stop;
mod system_limits;
