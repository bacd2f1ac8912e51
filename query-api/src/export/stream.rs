//! From the database to the client: one task reads and encodes, and waits whenever the client
//! has not taken what there is.
//!
//! ```text
//! Reader ─▶ Encoder ─▶ channel of one piece ─▶ body
//! ```

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use platform::telemetry::names;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    task::spawn_blocking,
    time::{Instant, timeout},
};
use tracing::{Instrument, info, warn};

use super::format::{Encoder, Format};
use crate::{
    events::{
        columns::Column,
        reader::{Reader, Step},
    },
    failure::QueryFailure,
};

/// How long a transaction is kept for a client that does not take what was read. Then it is
/// given back, and begun anew when the client goes on.
const HELD_FOR_CLIENT: Duration = Duration::from_secs(1);

/// A part of an export.
enum Piece {
    Bytes(Bytes),
    /// Everything was sent. Without it, the export is broken off.
    End,
}

/// Why a body ends before its end: the server then closes the connection, and no client takes
/// the export for whole.
#[derive(Debug, thiserror::Error)]
#[error("the export is broken off")]
struct BrokenOff;

/// How an export ended.
#[derive(Debug)]
enum Outcome {
    Complete,
    /// The client went away.
    Abandoned,
    Failed(anyhow::Error),
}

impl Outcome {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Abandoned => "abandoned",
            Self::Failed(_) => "failed",
        }
    }
}

/// Begins an export, of which the first step was read. It goes on until it is sent, or until
/// the body is dropped.
pub(super) fn begin(
    reader: Reader,
    first: Step,
    format: Format,
    kind: &'static str,
    permit: OwnedSemaphorePermit,
) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    let work = async move {
        let started = Instant::now();
        let running = metrics::gauge!(names::EXPORTS_RUNNING);
        running.increment(1);
        let mut export = Export {
            columns: reader.columns(),
            reader,
            sender,
            rows: 0,
        };
        let outcome = export.run(first, format).await;
        running.decrement(1);
        drop(permit);
        let rows = export.rows;
        metrics::counter!(names::EXPORTS, "format" => format.as_str(), "outcome" => outcome.as_str())
            .increment(1);
        metrics::counter!(names::EXPORT_ROWS, "kind" => kind).increment(rows);
        let seconds = started.elapsed().as_secs_f64();
        match outcome {
            Outcome::Failed(error) => {
                warn!(kind, %format, rows, seconds, error = format!("{error:#}"), "an export broke off");
            }
            outcome => {
                info!(kind, %format, rows, seconds, outcome = outcome.as_str(), "an export ended");
            }
        }
    };
    tokio::spawn(work.in_current_span());
    body(receiver)
}

fn body(receiver: mpsc::Receiver<Piece>) -> Body {
    let pieces = stream::unfold(Some(receiver), async |receiver| {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Piece::Bytes(bytes)) => Some((Ok(bytes), Some(receiver))),
            Some(Piece::End) => None,
            None => Some((Err(BrokenOff), None)),
        }
    });
    // The layer that compresses asks once more after the end.
    Body::from_stream(pieces.fuse())
}

struct Export {
    reader: Reader,
    columns: Arc<[Column]>,
    sender: mpsc::Sender<Piece>,
    rows: u64,
}

impl Export {
    async fn run(&mut self, first: Step, format: Format) -> Outcome {
        match self.send_all(first, format).await {
            Ok(true) => Outcome::Complete,
            Ok(false) => Outcome::Abandoned,
            Err(error) => Outcome::Failed(error),
        }
    }

    /// Whether the client took everything.
    async fn send_all(&mut self, first: Step, format: Format) -> anyhow::Result<bool> {
        let mut bytes = Vec::new();
        let mut encoder = format.encoder(Arc::clone(&self.columns), &mut bytes)?;
        let mut step = first;
        loop {
            match step {
                Step::End => break,
                Step::Nothing => {}
                Step::Rows(rows) => {
                    self.rows += u64::try_from(rows.len()).unwrap_or_default();
                    (encoder, bytes) =
                        off_thread(encoder, bytes, |encoder, bytes| encoder.rows(rows, bytes))
                            .await?;
                }
            }
            if !bytes.is_empty() && !self.send(Bytes::from(std::mem::take(&mut bytes))).await? {
                return Ok(false);
            }
            let next = tokio::select! {
                next = self.reader.next() => next,
                () = self.sender.closed() => return Ok(false),
            };
            step = next?;
        }
        (_, bytes) = off_thread(encoder, bytes, |encoder, bytes| encoder.finish(bytes)).await?;
        Ok(self.send(Bytes::from(bytes)).await? && self.sender.send(Piece::End).await.is_ok())
    }

    /// Whether the client is still there.
    async fn send(&mut self, bytes: Bytes) -> Result<bool, QueryFailure> {
        let room = match timeout(HELD_FOR_CLIENT, self.sender.reserve()).await {
            Ok(room) => room,
            Err(_) => {
                self.reader.release().await?;
                self.sender.reserve().await
            }
        };
        let Ok(room) = room else {
            return Ok(false);
        };
        room.send(Piece::Bytes(bytes));
        Ok(true)
    }
}

/// Encodes on a thread that may be busy: compressing a row group takes a while.
async fn off_thread(
    mut encoder: Box<dyn Encoder>,
    mut bytes: Vec<u8>,
    work: impl FnOnce(&mut dyn Encoder, &mut Vec<u8>) -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<(Box<dyn Encoder>, Vec<u8>)> {
    spawn_blocking(move || {
        work(&mut *encoder, &mut bytes)?;
        Ok((encoder, bytes))
    })
    .await?
}
