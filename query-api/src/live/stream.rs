//! What one client is told, message by message, whatever carries it.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::extract::ws::Utf8Bytes;
use metrics::{counter, gauge, histogram};
use platform::{clock, lifecycle::Shutdown, telemetry::names};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::{
    feed::{Feed, Frame},
    messages::{Gap, Message},
    params::Resume,
    position::Position,
    slots::Slot,
};

/// Between two signs of life.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);

/// A client that takes longer for a message is told a gap, and all rows anew.
const SLOW: Duration = Duration::from_secs(5);

/// The next thing to send.
#[derive(Debug, Clone)]
pub(crate) enum Outgoing {
    /// A message, and the cursor that is reached with it, if it leads anywhere.
    Message {
        text: Utf8Bytes,
        cursor: Option<Utf8Bytes>,
    },
    /// A sign of life.
    Ping { text: Utf8Bytes, cursor: Utf8Bytes },
    /// The last message.
    End { text: Utf8Bytes, why: End },
}

/// Why a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The token is not valid any more.
    TokenExpired,
    /// This instance ends; another one goes on.
    Shutdown,
    /// The memory was emptied, and is being filled again.
    Restarted,
}

impl End {
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::TokenExpired => "token_expired",
            Self::Shutdown => "shutdown",
            Self::Restarted => "restarted",
        }
    }
}

/// One client's stream.
pub(crate) struct Stream {
    feed: Arc<Feed>,
    latest: watch::Receiver<Arc<Frame>>,
    /// Up to where it was told.
    told: Position,
    shed: u64,
    queue: VecDeque<Outgoing>,
    expires: Instant,
    shutdown: Shutdown,
    heartbeat: tokio::time::Interval,
    /// When the last message was handed over.
    handed_over: Option<Instant>,
    transport: &'static str,
    _slot: Slot,
}

impl Stream {
    /// A stream of a view until `expires` or `shutdown`. With what the client brings from
    /// before, it goes on from there, if it can.
    pub(crate) fn start(
        feed: Arc<Feed>,
        resume: Option<Resume>,
        expires: Instant,
        shutdown: Shutdown,
        transport: &'static str,
        slot: Slot,
    ) -> Self {
        let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut latest = feed.latest();
        // A snapshot that is shared may be a moment older than the last delta.
        latest.mark_changed();
        let snapshot = feed.snapshot();
        let mut stream = Self {
            latest,
            told: snapshot.until,
            shed: snapshot.shed,
            queue: VecDeque::new(),
            expires,
            shutdown,
            heartbeat,
            handed_over: None,
            transport,
            _slot: slot,
            feed,
        };
        match resume.map(|resume| stream.position_of(resume)) {
            None => stream.push(&snapshot),
            Some(Err(gap)) => stream.start_over(gap),
            Some(Ok(position)) => {
                let frame = stream.feed.since(position);
                stream.push(&frame);
            }
        }
        gauge!(names::LIVE_CONNECTIONS, "transport" => transport).increment(1.0);
        stream
    }

    /// The next message. May be given up and asked again.
    pub(crate) async fn next(&mut self) -> Outgoing {
        if let Some(at) = self.handed_over.take()
            && at.elapsed() >= SLOW
        {
            self.queue.clear();
            self.start_over(Gap::SlowClient);
        }
        let next = self.wait().await;
        self.handed_over = Some(Instant::now());
        self.count(&next);
        next
    }

    async fn wait(&mut self) -> Outgoing {
        loop {
            if let Some(next) = self.queue.pop_front() {
                return next;
            }
            tokio::select! {
                biased;
                () = self.shutdown.triggered() => return end(End::Shutdown),
                () = self.feed.world().ended.triggered() => return end(End::Restarted),
                () = tokio::time::sleep_until(self.expires) => return end(End::TokenExpired),
                // The sender is the feed's, which is ours.
                _ = self.latest.changed() => self.follow(),
                _ = self.heartbeat.tick() => return Outgoing::Ping {
                    text: self.feed.ping(self.told).json().into(),
                    cursor: self.feed.cursor(self.told).into(),
                },
            }
        }
    }

    /// What ends all streams.
    pub(crate) fn shutdown(&self) -> &Shutdown {
        &self.shutdown
    }

    /// Tells what has changed; to most, the same.
    fn follow(&mut self) {
        let latest = self.latest.borrow_and_update().clone();
        if latest.until.is_within(self.told) {
            return;
        }
        let frame = match latest.since {
            Some(since) if since == self.told => latest,
            _ => self.feed.since(self.told),
        };
        if frame.shed != self.shed {
            self.start_over(Gap::TooManyRows);
        } else if frame.is_news(self.told) {
            self.push(&frame);
            if let Some(oldest) = frame.oldest {
                let micros = clock::now().micros().saturating_sub(oldest.micros()).max(0);
                let delay = Duration::from_micros(micros.unsigned_abs());
                histogram!(names::LIVE_PUSH_DELAY).record(delay);
            }
        } else {
            self.told = frame.until;
        }
    }

    fn start_over(&mut self, reason: Gap) {
        counter!(names::LIVE_GAPS, "reason" => gap_name(reason)).increment(1);
        self.queue.push_back(Outgoing::Message {
            text: Message::Gap { reason }.json().into(),
            cursor: None,
        });
        let snapshot = self.feed.snapshot();
        self.push(&snapshot);
    }

    fn push(&mut self, frame: &Frame) {
        self.told = frame.until;
        self.shed = frame.shed;
        self.queue.push_back(Outgoing::Message {
            text: frame.text.clone(),
            cursor: Some(frame.cursor.clone()),
        });
    }

    fn position_of(&self, resume: Resume) -> Result<Position, Gap> {
        let cursor = resume.cursor().ok_or(Gap::CursorUnknown)?;
        let known = cursor.generation == self.feed.world().generation;
        if !known {
            Err(Gap::CursorUnknown)
        } else if cursor.fingerprint != self.feed.fingerprint() {
            Err(Gap::CursorOfAnotherView)
        } else if !cursor.position.is_within(self.feed.position()) {
            // Nobody was told that.
            Err(Gap::CursorUnknown)
        } else {
            Ok(cursor.position)
        }
    }

    fn count(&self, next: &Outgoing) {
        let bytes = match next {
            Outgoing::Message { text, .. }
            | Outgoing::Ping { text, .. }
            | Outgoing::End { text, .. } => text.len(),
        };
        counter!(names::LIVE_MESSAGES, "transport" => self.transport).increment(1);
        counter!(names::LIVE_BYTES, "transport" => self.transport).increment(bytes as u64);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        gauge!(names::LIVE_CONNECTIONS, "transport" => self.transport).decrement(1.0);
    }
}

fn end(why: End) -> Outgoing {
    Outgoing::End {
        text: Message::End {
            code: why.code().into(),
        }
        .json()
        .into(),
        why,
    }
}

fn gap_name(reason: Gap) -> &'static str {
    match reason {
        Gap::CursorUnknown => "cursor_unknown",
        Gap::CursorOfAnotherView => "cursor_of_another_view",
        Gap::SlowClient => "slow_client",
        Gap::TooManyRows => "too_many_rows",
    }
}
