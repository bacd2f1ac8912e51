//! A range of time in slices, from either end.
//!
//! The views of tenants are barriers: neither the order nor the limit of a query reaches into
//! them, so a statement reads and sorts all of the time that it names. Slices keep that little.
//! They grow over time that holds nothing and shrink over time that holds much.

use std::time::Duration;

use schemas::Timestamp;

use super::position::{Direction, Position};

/// The first slice: of a day with five million events it holds fifty thousand.
const FIRST: i64 = 15 * 60 * 1_000_000;
/// The shortest, in microseconds.
const SHORTEST: i64 = 1000;
/// How much a slice may be longer, or shorter, than the one before.
const STEP: i64 = 4;
/// A slice that took longer is followed by none that is longer.
const LONG: Duration = Duration::from_millis(250);
/// A slice that took longer is followed by a shorter one.
const TOO_LONG: Duration = Duration::from_secs(1);

/// From an instant on, and before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slice {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

impl Slice {
    /// What is left of it after a row.
    pub(crate) fn rest(self, direction: Direction, after: Option<Position>) -> Self {
        let Some(Position { at, .. }) = after else {
            return self;
        };
        match direction {
            Direction::OldestFirst => Self {
                from: self.from.max(at),
                ..self
            },
            // The row's instant may hold others.
            Direction::NewestFirst => Self {
                to: self.to.min(instant(at.micros().saturating_add(1))),
                ..self
            },
        }
    }
}

/// What is left of a range.
#[derive(Debug, Clone)]
pub(crate) struct Slices {
    direction: Direction,
    start: i64,
    end: i64,
    /// Of the next slice, in microseconds.
    length: i64,
}

impl Slices {
    /// The range from `start` on and before `end`, as far as it was not read `after` a position.
    pub(crate) fn new(
        direction: Direction,
        (start, end): (Timestamp, Timestamp),
        after: Option<Position>,
    ) -> Self {
        let (mut start, mut end) = (start.micros(), end.micros());
        if let Some(Position { at, place }) = after {
            // The instant of a row may hold others.
            let rest = i64::from(place.is_some());
            match direction {
                Direction::NewestFirst => end = end.min(at.micros().saturating_add(rest)),
                Direction::OldestFirst => start = start.max(at.micros() + 1 - rest),
            }
        }
        Self {
            direction,
            start,
            end,
            length: FIRST,
        }
    }

    /// The slice to be read now; `None` when nothing is left.
    pub(crate) fn current(&self) -> Option<Slice> {
        let (start, end) = (self.start, self.end);
        if start >= end {
            return None;
        }
        let (from, to) = match self.direction {
            Direction::NewestFirst => (start.max(end.saturating_sub(self.length)), end),
            Direction::OldestFirst => (start, end.min(start.saturating_add(self.length))),
        };
        Some(Slice {
            from: instant(from),
            to: instant(to),
        })
    }

    /// The slice was read to its end: it `took` so long and gave `found` rows. The next one
    /// is to give about `wanted`.
    pub(crate) fn advance(&mut self, took: Duration, found: usize, wanted: usize) {
        let Some(slice) = self.current() else {
            return;
        };
        match self.direction {
            Direction::NewestFirst => self.end = slice.from.micros(),
            Direction::OldestFirst => self.start = slice.to.micros(),
        }
        let whole = |n: usize| i128::try_from(n.max(1)).unwrap_or(i128::MAX);
        let fitting = match found {
            0 => i128::MAX,
            _ => i128::from(self.length).saturating_mul(whole(wanted)) / whole(found),
        };
        let longest = match took {
            _ if took > TOO_LONG => self.length / 2,
            _ if took > LONG => self.length,
            _ => self.length.saturating_mul(STEP),
        };
        let fitting = i64::try_from(fitting).unwrap_or(i64::MAX);
        let shortest = SHORTEST.max(self.length / STEP);
        self.length = fitting.min(longest).max(shortest);
    }

    /// The slice could not be read in the time that a statement has: the current one becomes
    /// shorter. False when there is no shorter one.
    pub(crate) fn shorten(&mut self) -> bool {
        let was = self.length;
        // One that grew over nothing has run into much.
        self.length = if was > FIRST { FIRST } else { was / STEP };
        self.length = self.length.max(SHORTEST);
        self.length < was
    }

    /// Up to where everything was read, slices as a whole.
    pub(crate) fn reached(&self) -> Position {
        let at = match self.direction {
            Direction::NewestFirst => self.end,
            Direction::OldestFirst => self.start.saturating_sub(1),
        };
        Position {
            at: instant(at),
            place: None,
        }
    }
}

/// Within the range that the slices began with, or just before it.
fn instant(micros: i64) -> Timestamp {
    let (least, most) = (Timestamp::MIN, Timestamp::MAX);
    Timestamp::from_micros(micros).unwrap_or(if micros < 0 { least } else { most })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::{super::position::Place, *};

    const BOTH: [Direction; 2] = [Direction::NewestFirst, Direction::OldestFirst];

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn place(micros: i64) -> Position {
        let place = Place {
            event_id: Uuid::nil(),
            partition: 0,
            offset: 0,
        };
        Position {
            at: instant(micros),
            place: Some(place),
        }
    }

    /// All slices of a range in which nothing is.
    fn over_nothing(mut slices: Slices) -> Vec<Slice> {
        let mut all = Vec::new();
        while let Some(slice) = slices.current() {
            all.push(slice);
            slices.advance(Duration::ZERO, 0, 100);
        }
        all
    }

    #[test]
    fn the_first_slice_of_a_long_range_is_short_and_nothing_is_crossed_in_few() {
        let (start, end) = (at("2026-01-01T00:00:00Z"), at("2026-04-01T00:00:00Z"));
        let newest = Slices::new(Direction::NewestFirst, (start, end), None);
        let first = newest.current().unwrap();
        assert_eq!(first.to, end);
        assert_eq!(first.from, at("2026-03-31T23:45:00Z"));
        let oldest = Slices::new(Direction::OldestFirst, (start, end), None);
        assert_eq!(oldest.current().unwrap().to, at("2026-01-01T00:15:00Z"));
        for direction in BOTH {
            let all = (Timestamp::MIN, Timestamp::MAX);
            let slices = over_nothing(Slices::new(direction, all, None));
            assert!(slices.len() < 20, "{}", slices.len());
        }
    }

    #[test]
    fn much_or_slowness_makes_slices_shorter() {
        let range = (Timestamp::MIN, Timestamp::MAX);
        let next = |took, found| {
            let mut slices = Slices::new(Direction::OldestFirst, range, None);
            slices.advance(took, found, 100);
            slices.length
        };
        assert_eq!(next(Duration::ZERO, 0), FIRST * 4);
        assert_eq!(next(Duration::ZERO, 50), FIRST * 2);
        assert_eq!(next(Duration::ZERO, 200), FIRST / 2);
        assert_eq!(next(Duration::ZERO, 1_000_000), FIRST / 4);
        assert_eq!(next(Duration::from_millis(300), 0), FIRST);
        assert_eq!(next(Duration::from_secs(2), 0), FIRST / 2);
    }

    #[test]
    fn what_cannot_be_read_in_time_is_tried_in_shorter_slices_down_to_a_millisecond() {
        let range = (Timestamp::MIN, Timestamp::MAX);
        let mut slices = Slices::new(Direction::NewestFirst, range, None);
        for _ in 0..5 {
            slices.advance(Duration::ZERO, 0, 1);
        }
        assert!(slices.shorten());
        assert_eq!(slices.length, FIRST);
        let tries = std::iter::repeat_with(|| slices.shorten());
        assert!(tries.take_while(|shorter| *shorter).count() < 20);
        assert_eq!(slices.length, SHORTEST);
    }

    proptest! {
        /// Whatever is found and however long it takes: the slices are the range, in order.
        #[test]
        fn they_cover_the_range_once(
            newest in any::<bool>(),
            start in -1_000_000_000_000_i64..1_000_000_000_000,
            length in 1_i64..1_000_000_000_000,
            steps in prop::collection::vec((0_u64..2000, 0_usize..50_000), 1..300),
        ) {
            let direction = BOTH[usize::from(newest)];
            let range = (instant(start), instant(start + length));
            let mut slices = Slices::new(direction, range, None);
            let mut edge = if newest { range.0 } else { range.1 };
            let mut first = true;
            for (millis, found) in steps {
                let Some(slice) = slices.current() else { break };
                prop_assert!(slice.from < slice.to);
                let (near, far) = match direction {
                    Direction::OldestFirst => (slice.from, slice.to),
                    Direction::NewestFirst => (slice.to, slice.from),
                };
                let begin = match direction {
                    Direction::OldestFirst => range.0,
                    Direction::NewestFirst => range.1,
                };
                prop_assert_eq!(near, if first { begin } else { edge });
                prop_assert!(slice.from >= range.0 && slice.to <= range.1);
                (edge, first) = (far, false);
                slices.advance(Duration::from_millis(millis), found, 1000);
                // Who goes on from here sees the rest and nothing else.
                let again = Slices::new(direction, range, Some(slices.reached()));
                prop_assert_eq!((again.start, again.end), (slices.start, slices.end));
            }
        }
    }

    #[test]
    fn after_a_row_its_instant_is_read_again_and_nothing_before() {
        let range = (instant(0), instant(1000));
        let newest = Slices::new(Direction::NewestFirst, range, Some(place(500)));
        assert_eq!((newest.start, newest.end), (0, 501));
        let oldest = Slices::new(Direction::OldestFirst, range, Some(place(500)));
        assert_eq!((oldest.start, oldest.end), (500, 1000));
        // A position outside of the range opens nothing.
        for (direction, at) in BOTH.into_iter().zip([-5, 5000]) {
            let slices = Slices::new(direction, range, Some(place(at)));
            assert_eq!(slices.current(), None);
        }
        for (direction, at) in BOTH.into_iter().zip([5000, -5]) {
            let slices = Slices::new(direction, range, Some(place(at)));
            assert_eq!((slices.start, slices.end), (0, 1000));
        }
    }
}
