//! The share of the last records that was refused. No I/O.

use std::collections::VecDeque;

use crate::config::Env;

/// How large a share is too large.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RefusalLimit {
    /// Of how many of the last records.
    pub window: usize,
    /// Up to which share (0 to 1) they may be refused; 1: all of them.
    pub max_share: f64,
}

impl RefusalLimit {
    /// Reads `DEAD_LETTER_WINDOW`, default 1000, and `DEAD_LETTER_MAX_SHARE`, default 0.5.
    pub fn from_env(env: &mut Env) -> Self {
        Self {
            window: env.number("DEAD_LETTER_WINDOW", 1000, 10..=100_000),
            max_share: env.number("DEAD_LETTER_MAX_SHARE", 0.5, 0.0..=1.0),
        }
    }
}

/// The last records of what is watched. Dead letters lose nothing, but when most records become
/// some, something is broken that somebody has to look at: a producer, a schema, this service.
#[derive(Debug, Clone)]
pub struct Refusals {
    limit: RefusalLimit,
    /// Of the last records, oldest first, whether each was refused.
    last: VecDeque<bool>,
    refused: usize,
}

impl Refusals {
    /// None yet.
    #[must_use]
    pub fn new(limit: RefusalLimit) -> Self {
        Self {
            limit,
            last: VecDeque::new(),
            refused: 0,
        }
    }

    /// Whether one more refusal were too many. Never with fewer records than the window.
    pub fn would_exceed(&self) -> bool {
        if self.last.len() + 1 < self.limit.window {
            return false;
        }
        let oldest = self.last.len() >= self.limit.window && self.last[0];
        let refused = self.refused + 1 - usize::from(oldest);
        refused as f64 > self.limit.max_share * self.limit.window as f64
    }

    /// One more record.
    pub fn take(&mut self, refused: bool) {
        if self.last.len() >= self.limit.window && self.last.pop_front() == Some(true) {
            self.refused -= 1;
        }
        self.last.push_back(refused);
        self.refused += usize::from(refused);
    }

    /// How many of the last records were refused, and how many those are.
    pub fn share(&self) -> (usize, usize) {
        (self.refused, self.last.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_stops_as_counting_the_window_anew_says(
            window in 1usize..20,
            percent in 0u32..=100,
            records in prop::collection::vec(prop::bool::weighted(0.6), 0..100)
        ) {
            let max_share = f64::from(percent) / 100.0;
            let mut refusals = Refusals::new(RefusalLimit { window, max_share });
            let mut before: Vec<bool> = Vec::new();
            for refused in records {
                let mut with: Vec<bool> = before.clone();
                with.push(true);
                let last = &with[with.len().saturating_sub(window)..];
                let count = last.iter().filter(|refused| **refused).count();
                let exceeds = last.len() == window && count as f64 > max_share * window as f64;
                prop_assert_eq!(refusals.would_exceed(), exceeds);
                refusals.take(refused);
                before.push(refused);
                let last = &before[before.len().saturating_sub(window)..];
                let count = last.iter().filter(|refused| **refused).count();
                prop_assert_eq!(refusals.share(), (count, last.len()));
            }
        }
    }
}
