//! What the benchmark of the sink needs.

pub(crate) mod cpu;
pub(crate) mod log;
pub(crate) mod tables;
