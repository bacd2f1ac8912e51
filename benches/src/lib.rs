//! Side-by-side benchmarks of the pipeline's stages: a `harness` that runs them in pairs and
//! reports, the `workload` they share, and a module of `stages` for each row of the report.
//! `make bench` runs them; `make bench-stages` runs the micro-benchmarks of criterion.

pub mod harness;
pub mod stages;
pub mod workload;
