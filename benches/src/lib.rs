//! Benchmarks of the pipeline's stages; see `benches/stages.rs`. `make bench` runs them.
