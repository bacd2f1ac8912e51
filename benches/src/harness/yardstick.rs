//! A fixed piece of work that tells how fast the machine is just then.
//!
//! Neighbours of a virtual machine slow it down for minutes at a time, and not everything alike:
//! what reads memory suffers from them more than what computes, so that ratios of the two change.

use std::{hint::black_box, thread, time::Instant};

use serde::Serialize;

/// Multiplications, each of the product before.
const STEPS: u64 = 150_000_000;
/// Reads, each of which tells where the next is.
const READS: u64 = 2_000_000;
/// 64 MiB of them, more than a core's own caches hold.
const CELLS: u32 = 1 << 24;

/// What it took on the slowest of all cores, which do it at the same time; in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Yardstick {
    /// 150 million multiplications in a chain, which need no memory.
    pub arithmetic_ms: f64,
    /// 2 million reads in a chain, all over 64 MiB.
    pub memory_ms: f64,
}

impl Yardstick {
    /// Does the work, which takes about a second.
    pub fn measure() -> Self {
        let table = chain(CELLS);
        Self {
            arithmetic_ms: on_all_cores(|| {
                let steps = 0..black_box(STEPS);
                steps.fold(1, |x: u64, step| {
                    x.wrapping_mul(6_364_136_223_846_793_005) ^ step
                })
            }),
            memory_ms: on_all_cores(|| {
                let reads = 0..black_box(READS);
                u64::from(reads.fold(0, |at, _| table[at as usize]))
            }),
        }
    }
}

/// Each cell tells the next one, far away; the chain comes through all of them. `cells` is a
/// power of two.
fn chain(cells: u32) -> Vec<u32> {
    // A linear congruential generator: its period is full if the factor is one more than a
    // multiple of 4 and the summand odd (Hull and Dobell, 1962).
    let next = |at: u32| at.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) % cells;
    (0..cells).map(next).collect()
}

/// How long the slowest took, in milliseconds.
fn on_all_cores(work: impl Fn() -> u64 + Sync) -> f64 {
    let timed = || {
        let began = Instant::now();
        black_box(work());
        began.elapsed().as_secs_f64() * 1000.0
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let all: Vec<_> = (0..cores).map(|_| scope.spawn(timed)).collect();
        let times = all.into_iter().map(|one| one.join().expect("no panic"));
        times.fold(0.0, f64::max)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_comes_through_every_cell() {
        let table = chain(1 << 10);
        let mut at = 0;
        let mut seen = vec![false; table.len()];
        for _ in 0..table.len() {
            at = table[at] as usize;
            assert!(!std::mem::replace(&mut seen[at], true), "{at} twice");
        }
    }
}
