//! How this process has done lately, from its own metrics.
//!
//! Counters and histograms only grow, so what happened in a window is the difference of two
//! samples. Samples are taken every few seconds and kept for an hour.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    exposition::{Histogram, histogram, sum},
    metrics::PrometheusHandle,
    names, process,
};
use crate::lifecycle::Shutdown;

/// Between two samples.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// For how long samples are kept.
const KEPT: Duration = Duration::from_secs(3600);

/// The windows that figures are told of, with their names.
pub const WINDOWS: [(&str, Duration); 3] = [
    ("1m", Duration::from_secs(60)),
    ("5m", Duration::from_secs(300)),
    ("1h", KEPT),
];

/// The samples of the last hour. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Performance(Arc<Mutex<VecDeque<Sample>>>);

#[derive(Debug, Clone, PartialEq)]
struct Sample {
    at: Instant,
    accepted: Option<f64>,
    stored: Option<Histogram>,
    answered: Option<Histogram>,
    cached: Option<f64>,
    asked: Option<f64>,
    connections: Option<f64>,
    resident_bytes: Option<u64>,
}

/// What happened in a window. `None`: this process has not measured it.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// How long the window really is: less than asked for while the process is young.
    pub covered: Duration,
    /// Events accepted by the gateway, per second.
    pub ingestion_rate: Option<f64>,
    /// From an event's log time until it is stored.
    pub processing_latency: Option<Latency>,
    /// From a request to the query API until its answer.
    pub query_response_time: Option<Latency>,
    /// The most resident memory of the process, in bytes.
    pub memory_bytes: Option<u64>,
    /// The most open HTTP connections.
    pub connections: Option<u64>,
    /// The share of the query API's answers that were not computed; of no answers, none.
    pub cache_hit_rate: Option<f64>,
}

/// Durations in milliseconds; of none, no quantiles. They are found between the bounds of the
/// histogram's buckets, as Prometheus finds them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// The median.
    pub p50: Option<f64>,
    /// Of 95 % it was less.
    pub p95: Option<f64>,
    /// Of 99 % it was less.
    pub p99: Option<f64>,
}

impl Sample {
    fn of(text: &str, resident_bytes: Option<u64>, at: Instant) -> Self {
        let all = |_: &str| true;
        let of_query = |labels: &str| labels.contains("service=\"query\"");
        let kept = |labels: &str| {
            ["hit", "shared", "coalesced", "not_modified"]
                .iter()
                .any(|outcome| labels.contains(&format!("outcome=\"{outcome}\"")))
        };
        Self {
            at,
            accepted: sum(text, names::EVENTS_ACCEPTED, all),
            stored: histogram(text, names::END_TO_END_DELAY, all),
            answered: histogram(text, names::HTTP_REQUEST_DURATION, of_query),
            cached: sum(text, names::CACHE_ANSWERS, kept),
            asked: sum(text, names::CACHE_ANSWERS, all),
            connections: sum(text, names::HTTP_CONNECTIONS, all),
            resident_bytes,
        }
    }
}

impl Performance {
    /// Takes samples until `shutdown`.
    pub async fn keep(self, metrics: PrometheusHandle, shutdown: Shutdown) {
        let mut ticks = interval(SAMPLE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.triggered() => return,
                _ = ticks.tick() => {
                    self.take(&metrics.render(), process::resident_bytes(), Instant::now());
                }
            }
        }
    }

    /// Takes a sample of metrics in the Prometheus text format.
    fn take(&self, text: &str, resident_bytes: Option<u64>, at: Instant) {
        let sample = Sample::of(text, resident_bytes, at);
        let mut samples = self.samples();
        samples.push_back(sample);
        // The oldest is what the longest window begins at.
        while samples.get(1).is_some_and(|next| at - next.at >= KEPT) {
            samples.pop_front();
        }
    }

    fn samples(&self) -> MutexGuard<'_, VecDeque<Sample>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happened in the last `window`; `None` before there are two samples.
    #[must_use]
    pub fn over(&self, window: Duration) -> Option<Figures> {
        let samples = self.samples();
        let last = samples.back()?;
        let before = |sample: &&Sample| last.at - sample.at >= window;
        let first = samples.iter().rev().find(before).or(samples.front())?;
        let covered = last.at - first.at;
        if covered.is_zero() {
            return None;
        }
        let within = || samples.iter().filter(|sample| sample.at >= first.at);
        let grown = |of: fn(&Sample) -> Option<f64>| Some(of(last)? - of(first).unwrap_or(0.0));
        let asked = grown(|sample| sample.asked).filter(|asked| *asked > 0.0);
        let cached = grown(|sample| sample.cached).unwrap_or(0.0);
        Some(Figures {
            covered,
            ingestion_rate: grown(|sample| sample.accepted)
                .map(|events| events / covered.as_secs_f64()),
            processing_latency: latency(last.stored.as_ref(), first.stored.as_ref()),
            query_response_time: latency(last.answered.as_ref(), first.answered.as_ref()),
            memory_bytes: within().filter_map(|sample| sample.resident_bytes).max(),
            connections: within()
                .filter_map(|sample| sample.connections)
                .map(|connections| connections as u64)
                .max(),
            cache_hit_rate: asked.map(|asked| cached / asked),
        })
    }
}

fn latency(last: Option<&Histogram>, first: Option<&Histogram>) -> Option<Latency> {
    let grown = last?.since(first);
    let millis = |q| grown.quantile(q).map(|seconds| seconds * 1000.0);
    Some(Latency {
        count: grown.count(),
        p50: millis(0.5),
        p95: millis(0.95),
        p99: millis(0.99),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(accepted: u64, hits: u64, misses: u64, slow: u64) -> String {
        let fast = 100;
        let all = fast + slow;
        format!(
            "# HELP x y\n\
             flowmeter_events_accepted_total{{kind=\"a\"}} {accepted}\n\
             flowmeter_events_accepted_total{{kind=\"b\"}} {accepted}\n\
             flowmeter_cache_answers_total{{query=\"q\",outcome=\"hit\"}} {hits}\n\
             flowmeter_cache_answers_total{{query=\"q\",outcome=\"miss\"}} {misses}\n\
             flowmeter_http_connections 3\n\
             flowmeter_http_request_duration_seconds_bucket{{service=\"query\",le=\"0.1\"}} {fast}\n\
             flowmeter_http_request_duration_seconds_bucket{{service=\"query\",le=\"0.5\"}} {all}\n\
             flowmeter_http_request_duration_seconds_bucket{{service=\"query\",le=\"+Inf\"}} {all}\n\
             flowmeter_http_request_duration_seconds_bucket{{service=\"gateway\",le=\"0.1\"}} 999999\n"
        )
    }

    #[test]
    fn a_window_is_the_difference_of_two_samples() {
        let performance = Performance::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(performance.over(WINDOWS[0].1), None);
        performance.take(&text(0, 0, 0, 0), Some(5), at(0));
        assert_eq!(performance.over(WINDOWS[0].1), None);
        performance.take(&text(600, 30, 10, 100), Some(9), at(60));
        performance.take(&text(630, 39, 11, 110), Some(7), at(120));

        let minute = performance.over(WINDOWS[0].1).unwrap();
        assert_eq!(minute.covered, Duration::from_secs(60));
        assert_eq!(minute.ingestion_rate, Some(1.0));
        assert_eq!(minute.cache_hit_rate, Some(0.9));
        assert_eq!(
            (minute.memory_bytes, minute.connections),
            (Some(9), Some(3))
        );
        assert_eq!(minute.processing_latency, None);
        // Ten requests, all between 0.1 s and 0.5 s.
        let latency = minute.query_response_time.unwrap();
        assert_eq!(latency.count, 10);
        assert!((latency.p50.unwrap() - 300.0).abs() < 1e-6, "{latency:?}");

        let hour = performance.over(WINDOWS[2].1).unwrap();
        assert_eq!(hour.covered, Duration::from_secs(120));
        assert_eq!(hour.ingestion_rate, Some(10.5));
    }

    #[test]
    fn an_hour_of_samples_is_kept() {
        let performance = Performance::default();
        let start = Instant::now();
        for minute in 0..200 {
            let at = start + Duration::from_secs(minute * 60);
            performance.take(&text(minute, 0, 0, 0), None, at);
        }
        assert_eq!(performance.samples().len(), 61);
        let hour = performance.over(KEPT).unwrap();
        assert_eq!((hour.covered, hour.cache_hit_rate), (KEPT, None));
        assert_eq!(hour.query_response_time.unwrap().p50, None);
    }
}
