//! How much may be in flight, as pure bookkeeping: nobody waits for room; there is some or
//! there is none. Whatever was taken is given back when its guard is dropped.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use metrics::Gauge;

/// What a budget has no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overload {
    /// Another request.
    Requests,
    /// More bytes.
    Bytes,
}

impl Overload {
    /// Its name, as a label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Bytes => "bytes",
        }
    }
}

/// A number that never exceeds its limit.
#[derive(Debug)]
struct Account {
    used: AtomicUsize,
    limit: usize,
    gauge: Gauge,
}

impl Account {
    fn new(limit: usize, gauge: Gauge) -> Self {
        Self {
            used: AtomicUsize::new(0),
            limit,
            gauge,
        }
    }

    fn take(&self, amount: usize) -> bool {
        // Relaxed: the number guards no other memory.
        let taken = self
            .used
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(amount).filter(|sum| *sum <= self.limit)
            })
            .is_ok();
        if taken {
            self.gauge.increment(amount as f64);
        }
        taken
    }

    fn give_back(&self, amount: usize) {
        self.used.fetch_sub(amount, Ordering::Relaxed);
        self.gauge.decrement(amount as f64);
    }

    fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

/// Limits of the requests and bytes in flight, and how much of them is taken.
#[derive(Debug)]
pub struct Budget {
    requests: Account,
    bytes: Account,
}

impl Budget {
    /// A budget with nothing taken.
    #[must_use]
    pub fn new(max_requests: usize, max_bytes: usize) -> Arc<Self> {
        Self::shown(max_requests, max_bytes, Gauge::noop(), Gauge::noop())
    }

    /// A budget with nothing taken, and two gauges that show what is: requests and bytes.
    #[must_use]
    pub fn shown(
        max_requests: usize,
        max_bytes: usize,
        requests: Gauge,
        bytes: Gauge,
    ) -> Arc<Self> {
        Arc::new(Self {
            requests: Account::new(max_requests, requests),
            bytes: Account::new(max_bytes, bytes),
        })
    }

    /// Takes room for one request.
    ///
    /// # Errors
    /// When there is none.
    pub fn enter(self: &Arc<Self>) -> Result<Slot, Overload> {
        if self.requests.take(1) {
            Ok(Slot(Arc::clone(self)))
        } else {
            Err(Overload::Requests)
        }
    }

    /// A hold on no bytes yet.
    #[must_use]
    pub fn hold(self: &Arc<Self>) -> Hold {
        Hold {
            budget: Arc::clone(self),
            bytes: 0,
        }
    }

    /// The requests in flight.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.requests.used()
    }

    /// The bytes in flight.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.used()
    }
}

/// Room for one request, until dropped.
#[derive(Debug)]
pub struct Slot(Arc<Budget>);

impl Slot {
    /// Whose room it is.
    #[must_use]
    pub fn budget(&self) -> &Arc<Budget> {
        &self.0
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.requests.give_back(1);
    }
}

/// Room for some bytes, until dropped.
#[derive(Debug)]
pub struct Hold {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Hold {
    /// Takes room for `more` bytes.
    ///
    /// # Errors
    /// When there is not enough; then nothing is taken.
    pub fn grow(&mut self, more: usize) -> Result<(), Overload> {
        if !self.budget.bytes.take(more) {
            return Err(Overload::Bytes);
        }
        self.bytes += more;
        Ok(())
    }

    /// How many bytes it holds room for.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.budget.bytes.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Enter,
        Leave(usize),
        Hold(usize),
        Grow(usize, usize),
        Drop(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(Step::Enter),
            any::<usize>().prop_map(Step::Leave),
            (0..40_usize).prop_map(Step::Hold),
            (any::<usize>(), prop_oneof![0..40_usize, Just(usize::MAX)])
                .prop_map(|(at, more)| Step::Grow(at, more)),
            any::<usize>().prop_map(Step::Drop),
        ]
    }

    proptest! {
        #[test]
        fn no_more_is_taken_than_there_is_and_all_comes_back(
            max_requests in 0..5_usize, max_bytes in 0..100_usize, steps in vec(step(), 0..200),
        ) {
            let budget = Budget::new(max_requests, max_bytes);
            let (mut slots, mut holds): (Vec<Slot>, Vec<Hold>) = Default::default();
            for step in steps {
                match step {
                    Step::Enter => {
                        let room = slots.len() < max_requests;
                        let entered = budget.enter();
                        prop_assert_eq!(entered.is_ok(), room);
                        slots.extend(entered);
                    }
                    Step::Leave(at) if !slots.is_empty() => drop(slots.swap_remove(at % slots.len())),
                    Step::Hold(bytes) => {
                        let mut hold = budget.hold();
                        let _refused = hold.grow(bytes);
                        holds.push(hold);
                    }
                    Step::Grow(at, more) if !holds.is_empty() => {
                        let at = at % holds.len();
                        let room = more <= max_bytes - budget.bytes();
                        prop_assert_eq!(holds[at].grow(more).is_ok(), room);
                    }
                    Step::Drop(at) if !holds.is_empty() => drop(holds.swap_remove(at % holds.len())),
                    _ => {}
                }
                prop_assert_eq!(budget.requests(), slots.len());
                prop_assert_eq!(budget.bytes(), holds.iter().map(Hold::bytes).sum::<usize>());
                prop_assert!(budget.requests() <= max_requests && budget.bytes() <= max_bytes);
            }
            drop((slots, holds));
            prop_assert_eq!((budget.requests(), budget.bytes()), (0, 0));
        }
    }

    #[test]
    fn threads_together_stay_within_the_limits() {
        let budget = Budget::new(3, 1000);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for round in 0..2000 {
                        let _slot = budget.enter();
                        let mut hold = budget.hold();
                        let _full = hold.grow(round % 700).and_then(|()| hold.grow(300));
                        assert!(budget.requests() <= 3 && budget.bytes() <= 1000);
                    }
                });
            }
        });
        assert_eq!((budget.requests(), budget.bytes()), (0, 0));
    }
}
