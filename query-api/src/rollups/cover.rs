//! A range of time as buckets of the longest windows that fit into it.

use schemas::{Timestamp, Window};

/// The buckets of one window that start at or after `from` and before `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) window: Window,
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
}

/// Pieces that hold every instant from `from` to `to` once, in order: of the first of `windows`
/// as much as fits, of the next what that leaves, and so on. The range must begin and end with
/// buckets of the last, which should be the shortest.
pub(crate) fn cover(from: Timestamp, to: Timestamp, windows: &[Window]) -> Vec<Piece> {
    let Some((window, shorter)) = windows.split_first().filter(|_| from < to) else {
        return Vec::new();
    };
    let window = *window;
    if shorter.is_empty() {
        return vec![Piece { window, from, to }];
    }
    let (first, last) = (first_start(window, from), window.start(to));
    if first >= last {
        return cover(from, to, shorter);
    }
    let mut pieces = cover(from, first, shorter);
    pieces.push(Piece {
        window,
        from: first,
        to: last,
    });
    pieces.extend(cover(last, to, shorter));
    pieces
}

/// Where the first bucket starts that does so at or after `at`.
fn first_start(window: Window, at: Timestamp) -> Timestamp {
    let start = window.start(at);
    if start == at {
        start
    } else {
        start.saturating_add_seconds(window.seconds())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(from: &str, to: &str, windows: &[Window]) -> Vec<String> {
        let pieces = cover(from.parse().unwrap(), to.parse().unwrap(), windows);
        let piece = |p: &Piece| format!("{} {} {}", p.window, p.from, p.to);
        pieces.iter().map(piece).collect()
    }

    #[test]
    fn days_are_of_one_piece_and_what_is_left_of_shorter_ones() {
        let windows = [Window::D1, Window::H1];
        assert_eq!(
            told("2026-03-01T22:00:00Z", "2026-03-08T22:00:00Z", &windows),
            [
                "1h 2026-03-01T22:00:00Z 2026-03-02T00:00:00Z",
                "1d 2026-03-02T00:00:00Z 2026-03-08T00:00:00Z",
                "1h 2026-03-08T00:00:00Z 2026-03-08T22:00:00Z",
            ]
        );
        assert_eq!(
            told("2026-03-01T00:00:00Z", "2026-03-08T00:00:00Z", &windows),
            ["1d 2026-03-01T00:00:00Z 2026-03-08T00:00:00Z"]
        );
        assert_eq!(
            told("2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", &windows),
            [""; 0]
        );
    }

    proptest! {
        #[test]
        fn every_instant_is_in_one_piece_that_ends_with_its_buckets(
            start in 0_i64..200_000, quarters in 0_i64..4000,
        ) {
            let at = |quarter: i64| Timestamp::from_millis(quarter * 900_000).unwrap();
            let (from, to) = (at(start), at(start + quarters));
            let pieces = cover(from, to, &[Window::D1, Window::H1, Window::M15]);
            let mut reached = from;
            for piece in &pieces {
                prop_assert_eq!(piece.from, reached);
                prop_assert!(piece.from < piece.to);
                prop_assert_eq!(piece.window.start(piece.from), piece.from);
                prop_assert_eq!(piece.window.start(piece.to), piece.to);
                reached = piece.to;
            }
            prop_assert_eq!(reached, to);
            prop_assert!(pieces.len() <= 5);
        }
    }
}
