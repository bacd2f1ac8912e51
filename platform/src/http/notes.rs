//! What only inner code knows of a request and its log line shall say.
//!
//! ```
//! # use platform::http::notes;
//! notes::note(|notes| notes.events_accepted += 1);
//! ```

use std::sync::PoisonError;

use uuid::Uuid;

use super::context::Context;

/// What is noted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// Whose request it is, once that is known.
    pub organization: Option<Uuid>,
    /// Bytes of the body as sent.
    pub bytes_in: Option<usize>,
    /// Events accepted.
    pub events_accepted: u64,
    /// Events refused.
    pub events_refused: u64,
}

/// Notes something of the request that this task answers; outside one, nothing happens.
pub fn note(write: impl FnOnce(&mut Notes)) {
    if let Some(context) = Context::try_current() {
        write(
            &mut context
                .notes()
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }
}

/// Notes whose request it is.
pub fn organization(id: Uuid) {
    note(|notes| notes.organization = Some(id));
}

/// Notes what came of events.
pub fn events(accepted: u64, refused: u64) {
    note(|notes| {
        notes.events_accepted += accepted;
        notes.events_refused += refused;
    });
}
