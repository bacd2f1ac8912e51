//! So many a second, and no burst to make up for a pause.

use std::time::Duration;

/// Says when the next one is due. The time is an argument: since any moment, never backwards.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pacer {
    interval: Duration,
    next: Duration,
}

impl Pacer {
    /// At most `rate` a second; 0: no limit.
    pub(super) fn new(rate: u32) -> Self {
        let interval = Duration::from_secs(1).checked_div(rate).unwrap_or_default();
        Self {
            interval,
            next: Duration::ZERO,
        }
    }

    /// How long to wait before the next one.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        self.next.saturating_sub(now)
    }

    /// Counts one that goes now.
    pub(super) fn count(&mut self, now: Duration) {
        self.next = self.next.max(now) + self.interval;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_second_sees_more_than_the_rate(
            rate in 1..2000_u32, pauses in prop::collection::vec(0..400_u64, 1..300)
        ) {
            let (mut pacer, mut now, mut sent) = (Pacer::new(rate), Duration::ZERO, Vec::new());
            for pause in pauses {
                now += Duration::from_millis(pause);
                now += pacer.wait(now);
                prop_assert_eq!(pacer.wait(now), Duration::ZERO);
                pacer.count(now);
                sent.push(now);
            }
            for (n, at) in sent.iter().enumerate() {
                let second = sent[n..].iter().take_while(|t| **t < *at + Duration::from_secs(1));
                // One more where the interval is no whole number of nanoseconds.
                prop_assert!(second.count() <= rate as usize + 1);
            }
        }
    }

    #[test]
    fn without_a_rate_nobody_waits() {
        let mut pacer = Pacer::new(0);
        pacer.count(Duration::ZERO);
        assert_eq!(pacer.wait(Duration::ZERO), Duration::ZERO);
    }
}
