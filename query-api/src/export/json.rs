//! JSON: one array, or one object a line (<https://github.com/ndjson/ndjson-spec>).

use std::sync::Arc;

use super::format::Encoder;
use crate::events::{columns::Column, value::Row};

/// An object a line.
pub(super) struct Lines {
    columns: Arc<[Column]>,
}

impl Lines {
    pub(super) fn new(columns: Arc<[Column]>) -> Self {
        Self { columns }
    }
}

impl Encoder for Lines {
    fn rows(&mut self, rows: Vec<Row>, out: &mut Vec<u8>) -> anyhow::Result<()> {
        for row in rows {
            serde_json::to_writer(&mut *out, &row.named(&self.columns))?;
            out.push(b'\n');
        }
        Ok(())
    }

    fn finish(&mut self, _out: &mut Vec<u8>) -> anyhow::Result<()> {
        Ok(())
    }
}

/// An array, each object on a line of its own.
pub(super) struct Array {
    columns: Arc<[Column]>,
    begun: bool,
}

impl Array {
    pub(super) fn new(columns: Arc<[Column]>) -> Self {
        Self {
            columns,
            begun: false,
        }
    }
}

impl Encoder for Array {
    fn rows(&mut self, rows: Vec<Row>, out: &mut Vec<u8>) -> anyhow::Result<()> {
        for row in rows {
            let before: &[u8] = if self.begun { b",\n" } else { b"[\n" };
            self.begun = true;
            out.extend_from_slice(before);
            serde_json::to_writer(&mut *out, &row.named(&self.columns))?;
        }
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> anyhow::Result<()> {
        let rest: &[u8] = if self.begun { b"\n]\n" } else { b"[]\n" };
        out.extend_from_slice(rest);
        Ok(())
    }
}
