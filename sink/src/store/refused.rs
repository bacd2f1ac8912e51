//! Events whose rows the database refuses, found among the others by halving.

use platform::kafka::refusals::Refusals;
use schemas::Window;
use sqlx::{Acquire, PgConnection};

use super::{EventRows, Kept, StoreError, Written, insert_events, rollups};
use crate::{
    batch::{Deltas, RawEvent},
    expand::expand,
};

/// An event that the database refuses.
#[derive(Debug)]
pub(crate) struct RefusedEvent<'a> {
    pub(crate) event: &'a RawEvent,
    /// Without what the event says.
    pub(crate) why: String,
}

/// Writes all events and their rollups but those that are refused, which it gives back.
///
/// An event is refused with its row or with what it adds to rollups: a sum may grow too large.
/// `refusals` sees each event in its order, and ends the search when too many are refused.
pub(super) async fn insert_sound<'a>(
    connection: &mut PgConnection,
    events: &'a [RawEvent],
    windows: &[Window],
    refusals: &mut Refusals,
) -> Result<(Written, Vec<RefusedEvent<'a>>), StoreError> {
    let (mut written, mut refused) = (Written::new(), Vec::new());
    // The last is the next.
    let mut parts = vec![events];
    while let Some(part) = parts.pop() {
        let tables = expand(windows, Deltas::of(part));
        let mut savepoint = connection.begin().await?;
        let (rows, of) = (EventRows::of(part), rollups::organizations(&tables));
        match insert_events(&mut savepoint, &rows, &tables, &of, &mut Kept::default()).await {
            Ok((rows, _)) => {
                savepoint.commit().await?;
                for (table, n) in rows {
                    *written.entry(table).or_default() += n;
                }
                part.iter().for_each(|_| refusals.take(false));
            }
            Err(StoreError::Refused(error)) => {
                savepoint.rollback().await?;
                if let [event] = part {
                    if refusals.would_exceed() {
                        let (refused, of) = refusals.share();
                        return Err(StoreError::TooManyRefused { refused, of, error });
                    }
                    refusals.take(true);
                    let why = super::trouble::refusal(&error);
                    refused.push(RefusedEvent { event, why });
                } else {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok((written, refused))
}
