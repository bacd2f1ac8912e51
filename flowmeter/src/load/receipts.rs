//! A file of the ids that were accepted, to be compared with what is stored.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use uuid::Uuid;

/// One id a line.
pub(super) struct Receipts(Mutex<Open>);

struct Open {
    file: BufWriter<File>,
    /// The first that went wrong; told at the end, since the events were sent all the same.
    failed: Option<std::io::Error>,
}

impl Receipts {
    /// Makes the file, or empties it.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(Mutex::new(Open {
            file: BufWriter::new(file),
            failed: None,
        })))
    }

    /// Takes note of an accepted event.
    pub(super) fn keep(&self, event_id: Uuid) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = writeln!(open.file, "{event_id}") {
            open.failed.get_or_insert(error);
        }
    }

    /// Writes what is left.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let mut open = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let written = open.file.flush();
        open.failed
            .map_or(written, Err)
            .context("the receipts are not complete")
    }
}
