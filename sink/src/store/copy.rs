//! Rows in the binary form of `COPY`, as PostgreSQL's manual has it under "Binary Format".

mod binary;

use sqlx::PgConnection;

pub(super) use self::binary::{Binary, Json, Numeric};

/// The signature, no flags, no extension.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();
/// Rows are held in pieces of this size, so that more of them move none, and sent so.
const PIECE: usize = 64 << 10;
/// A row that is smaller fits a piece that has as much room.
const ROOM: usize = 2 << 10;

/// Rows of one table.
#[derive(Debug, Default)]
pub(crate) struct CopyRows {
    full: Vec<Vec<u8>>,
    open: Vec<u8>,
    count: usize,
}

/// A row that is being written.
pub(super) struct CopyRow<'a>(&'a mut Vec<u8>);

impl CopyRows {
    /// How many.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Begins a row of so many columns, each of which must be put.
    pub(super) fn add(&mut self, columns: i16) -> CopyRow<'_> {
        if self.open.is_empty() || self.open.len() > PIECE - ROOM {
            let next = Vec::with_capacity(PIECE);
            let mut full = std::mem::replace(&mut self.open, next);
            if !full.is_empty() {
                // A large row may have doubled it.
                full.shrink_to_fit();
                self.full.push(full);
            }
        }
        self.count += 1;
        self.open.extend(columns.to_be_bytes());
        CopyRow(&mut self.open)
    }

    /// Has a statement, a `copy … from stdin (format binary)`, take the rows in.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn send(
        &self,
        connection: &mut PgConnection,
        statement: &str,
    ) -> sqlx::Result<()> {
        let mut copy = connection.copy_in_raw(statement).await?;
        copy.send(HEADER).await?;
        for piece in self.full.iter().chain([&self.open]) {
            copy.send(piece.as_slice()).await?;
        }
        copy.send(TRAILER.as_slice()).await?;
        copy.finish().await?;
        Ok(())
    }
}

impl CopyRow<'_> {
    /// The next column.
    pub(super) fn put(&mut self, value: impl Binary) -> &mut Self {
        let at = self.0.len();
        self.0.extend([0; 4]);
        value.write(self.0);
        let length = i32::try_from(self.0.len() - at - 4).unwrap_or(i32::MAX);
        self.0[at..at + 4].copy_from_slice(&length.to_be_bytes());
        self
    }

    /// The next column, null if there is no value.
    pub(super) fn put_some(&mut self, value: Option<impl Binary>) -> &mut Self {
        match value {
            Some(value) => self.put(value),
            None => {
                self.0.extend((-1_i32).to_be_bytes());
                self
            }
        }
    }
}

#[cfg(test)]
mod tests;
