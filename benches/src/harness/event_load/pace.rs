//! When requests are due.

use std::time::{Duration, Instant};

use tokio::sync::{
    Mutex,
    mpsc::{UnboundedReceiver, unbounded_channel},
};

/// Tells each connection that is free when its next request is due.
#[derive(Debug)]
pub(super) enum Pace {
    /// At once, until this moment.
    Closed(Instant),
    /// When its time comes; connections wait for it in turn.
    Open(Mutex<UnboundedReceiver<Instant>>),
}

impl Pace {
    /// A closed loop, or an open one of so many requests a second, evenly spread.
    pub(super) fn new(rate: Option<f64>, began: Instant, length: Duration) -> Self {
        let Some(rate) = rate else {
            return Self::Closed(began + length);
        };
        let (sender, receiver) = unbounded_channel();
        // Tokio's timers are of whole milliseconds, which would come on top of the latencies.
        std::thread::spawn(move || {
            for offset in offsets(rate, length) {
                let due = began + offset;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if sender.send(due).is_err() {
                    return;
                }
            }
        });
        Self::Open(Mutex::new(receiver))
    }

    /// When the next request is due, a moment that has come; `None`: there is none any more.
    pub(super) async fn next(&self) -> Option<Instant> {
        match self {
            Self::Closed(until) => Some(Instant::now()).filter(|now| now < until),
            Self::Open(times) => times.lock().await.recv().await,
        }
    }
}

/// Of requests from the beginning, evenly spread over a length of time.
fn offsets(rate: f64, length: Duration) -> impl Iterator<Item = Duration> {
    let count = (rate * length.as_secs_f64()).round() as u64;
    (0..count).map(move |number| Duration::from_secs_f64(number as f64 / rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_loop_has_as_many_requests_as_its_rate_says() {
        let offsets: Vec<Duration> = offsets(4.0, Duration::from_secs(2)).collect();
        let expected = (0..8).map(|quarter| Duration::from_millis(quarter * 250));
        assert_eq!(offsets, expected.collect::<Vec<_>>());
    }
}
