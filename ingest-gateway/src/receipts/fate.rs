//! What became of an accepted event.

use platform::telemetry::names;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    book::{Place, Receipt},
    lookup::{Letter, Row},
};

/// What is known of an accepted event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Fate {
    /// The log has it; more is not known.
    #[default]
    Accepted,
    /// The database has it.
    Stored {
        /// Of an event that was there before: the place of the record that counts.
        duplicate_of: Option<Place>,
    },
    /// Admission refused it.
    DeadLettered(Refused),
}

/// Why admission refused an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Refused {
    /// Stable, for programs, such as `invalid` or `conflicting_duplicate`.
    pub(crate) reason: String,
    /// For people.
    pub(crate) message: String,
    /// Which part of Flowmeter refused it.
    pub(crate) stage: String,
}

/// What a look-up says of a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Nothing yet.
    Nothing,
    /// This very record came to this end.
    Settled(Fate),
    /// Another record of the same event is stored. This one is a copy that does not count,
    /// or it says something else and will be a dead letter.
    Copy(Place),
}

/// What the rows of an event, and the dead letters from its topic, say of one record of it.
pub(crate) fn sight<'a>(
    receipt: &Receipt,
    rows: impl Iterator<Item = &'a Row>,
    letters: impl IntoIterator<Item = &'a Letter>,
) -> Sight {
    if let Some(letter) = letters
        .into_iter()
        .find(|letter| letter.place == receipt.place)
    {
        return Sight::Settled(Fate::DeadLettered(letter.refused.clone()));
    }
    let mut copy = None;
    for row in rows {
        if row.place == receipt.place {
            return Sight::Settled(Fate::Stored { duplicate_of: None });
        }
        copy = copy.or(Some(row.place));
    }
    copy.map_or(Sight::Nothing, Sight::Copy)
}

/// Counts an event that was to be waited for.
pub(crate) fn count(fate: &Fate, waited: bool) {
    let outcome = match fate {
        Fate::Stored { .. } => "stored",
        Fate::DeadLettered(_) => "dead_lettered",
        Fate::Accepted if waited => "ran_out",
        Fate::Accepted => "not_waited",
    };
    metrics::counter!(names::WAITS, "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests {
    use schemas::{EventKind, Timestamp};
    use uuid::Uuid;

    use super::*;

    fn place(offset: i64) -> Place {
        Place {
            partition: 1,
            offset,
        }
    }

    #[test]
    fn the_record_itself_settles_and_a_copy_only_hints() {
        let now = Timestamp::from_millis(0).unwrap();
        let receipt = Receipt {
            kind: EventKind::UserSession,
            event_id: Uuid::nil(),
            organization_id: Uuid::nil(),
            timestamp: now,
            user_id: None,
            team_id: None,
            place: place(5),
            accepted_at: now,
        };
        let row = |offset| Row {
            kind: EventKind::UserSession,
            event_id: Uuid::nil(),
            timestamp: now,
            received_at: now,
            place: place(offset),
            user_id: None,
            team_id: None,
        };
        let letter = |offset| Letter {
            kind: EventKind::UserSession,
            topic: "t".to_owned(),
            place: place(offset),
            user_id: None,
            refused: Refused {
                reason: "invalid".to_owned(),
                message: "m".to_owned(),
                stage: "aggregator".to_owned(),
            },
            recorded_at: now,
        };
        let see = |rows: &[Row], letters: &[Letter]| sight(&receipt, rows.iter(), letters);
        let stored = Sight::Settled(Fate::Stored { duplicate_of: None });
        assert_eq!(see(&[], &[letter(4)]), Sight::Nothing);
        assert_eq!(see(&[row(4), row(5)], &[]), stored);
        assert_eq!(see(&[row(4), row(6)], &[]), Sight::Copy(place(4)));
        let refused = Sight::Settled(Fate::DeadLettered(letter(5).refused));
        assert_eq!(see(&[row(4)], &[letter(5)]), refused);
    }
}
