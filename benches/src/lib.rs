//! Side-by-side benchmarks of the pipeline's stages: a `harness` that runs them in pairs and
//! reports, the `workload` they share, and a module of `stages` for each row of the report.
//! `make bench` runs them; `make bench-stages` runs the micro-benchmarks of criterion. `scaling`
//! is a simulation of skewed keys.

pub mod harness;
pub mod scaling;
pub mod stages;
pub mod workload;
