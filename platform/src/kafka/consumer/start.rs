//! Where to begin reading a partition.

/// The wanted offset is not in the log: records that were never read are gone
/// (retention was shorter than an outage), or the log is another one than the
/// cursor belongs to (the topic was deleted and made anew).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("offset {wanted} is not in the log, which holds {low} up to {high}")]
pub struct OffsetGone {
    /// The next offset to read.
    pub wanted: i64,
    /// The first the log still has.
    pub low: i64,
    /// The one after the log's last.
    pub high: i64,
}

/// Where to begin: at the cursor, or with the first record when there was none.
///
/// `low` and `high` are the partition's watermarks.
///
/// # Errors
/// [`OffsetGone`], for the owner to report loudly: going on would hide a loss.
pub fn start_offset(cursor: Option<i64>, low: i64, high: i64) -> Result<i64, OffsetGone> {
    match cursor {
        None => Ok(low),
        Some(wanted) if (low..=high).contains(&wanted) => Ok(wanted),
        Some(wanted) => Err(OffsetGone { wanted, low, high }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_end_of_the_log_is_a_place_to_begin() {
        assert_eq!(start_offset(Some(9), 3, 9), Ok(9));
        assert_eq!(start_offset(Some(0), 0, 0), Ok(0));
    }

    #[test]
    fn deleted_records_and_a_foreign_log_are_told() {
        let gone = |wanted| {
            Err(OffsetGone {
                wanted,
                low: 3,
                high: 9,
            })
        };
        assert_eq!(start_offset(Some(2), 3, 9), gone(2));
        assert_eq!(start_offset(Some(10), 3, 9), gone(10));
    }

    proptest! {
        #[test]
        fn a_start_is_in_the_log_and_never_past_an_unread_record(
            cursor in proptest::option::of(0_i64..100), low in 0_i64..100, length in 0_i64..100
        ) {
            if let Ok(start) = start_offset(cursor, low, low + length) {
                prop_assert!((low..=low + length).contains(&start));
                prop_assert_eq!(start, cursor.unwrap_or(low));
            }
        }
    }
}
