//! Events of workload W1 posted over connections that are kept: in a closed loop, where each
//! connection sends its next request when the answer to the last is there, or in an open loop,
//! where requests have their times. One thread; answers are read and dropped.

mod pace;
mod requests;

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncWriteExt, net::TcpStream, task::LocalSet};

use self::{pace::Pace, requests::Requests};
use super::{Run, http_answer, http_load::connect, process::CpuClock, statistics::latencies};

/// What to send.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// Host and port.
    pub address: String,
    /// Of the call.
    pub path: String,
    /// Of the header `Authorization`.
    pub token: String,
    /// Of the workload.
    pub seed: u64,
    /// Of the workload.
    pub series: u32,
    /// Events of a request: one as it is, more of them as a batch of commands.
    pub events: usize,
    /// Connections at a time.
    pub connections: usize,
    /// How long requests are begun, in seconds.
    pub seconds: f64,
    /// Requests a second in an open loop; `None`: a closed loop.
    pub rate: Option<f64>,
}

/// Runs a plan. [`Run::events`] are events, not requests. Latencies of requests are in
/// `values`, in milliseconds, as this side sees them; in an open loop they begin when a request
/// was due, so that one that had to wait for a connection counts with what it waited.
///
/// # Errors
/// If a connection fails, or an answer is not 202.
pub fn run(plan: &Plan) -> anyhow::Result<Run> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, load(plan))
}

/// What the connections share.
struct Shared {
    pace: Pace,
    requests: RefCell<Requests>,
    /// In microseconds.
    latencies: RefCell<Histogram<u64>>,
}

async fn load(plan: &Plan) -> anyhow::Result<Run> {
    let requests = RefCell::new(Requests::new(plan));
    let streams = connect(&plan.address, plan.connections).await?;
    let (began, clock) = (Instant::now(), CpuClock::own());
    let shared = Rc::new(Shared {
        pace: Pace::new(plan.rate, began, Duration::from_secs_f64(plan.seconds)),
        requests,
        latencies: RefCell::new(Histogram::new(3)?),
    });
    let tasks: Vec<_> = streams
        .into_iter()
        .map(|stream| tokio::task::spawn_local(connection(stream, shared.clone())))
        .collect();
    for task in tasks {
        task.await??;
    }
    let seconds = began.elapsed().as_secs_f64();
    let latencies_micros = shared.latencies.borrow();
    Ok(Run {
        events: latencies_micros.len() * plan.events as u64,
        seconds,
        parts: vec![clock.part("load")],
        values: latencies(&latencies_micros),
    })
}

async fn connection(mut stream: TcpStream, shared: Rc<Shared>) -> anyhow::Result<()> {
    let (mut request, mut answer) = (Vec::new(), Vec::with_capacity(1 << 16));
    while let Some(due) = shared.pace.next().await {
        shared.requests.borrow_mut().next(&mut request);
        stream.write_all(&request).await?;
        http_answer::read(&mut stream, &mut answer, 202).await?;
        let micros = u64::try_from(due.elapsed().as_micros())?;
        shared.latencies.borrow_mut().record(micros)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    use super::*;

    const ACCEPTED: &str = "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";

    /// Answers each request after some time.
    fn server(answer: &'static str, delay: Duration) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            while stream.read(&mut request).is_ok_and(|read| read > 0) {
                std::thread::sleep(delay);
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        });
        address
    }

    fn plan(address: String, rate: Option<f64>) -> Plan {
        Plan {
            address,
            path: "/events".to_owned(),
            token: "t".to_owned(),
            seed: 1,
            series: 1_000,
            events: 2,
            connections: 1,
            seconds: 0.1,
            rate,
        }
    }

    #[test]
    fn a_closed_loop_sends_when_the_answer_is_there() {
        let run = run(&plan(server(ACCEPTED, Duration::from_millis(10)), None)).unwrap();
        assert!((4..=22).contains(&run.events), "{} events", run.events);
        assert!(run.values["p99_ms"] >= 10.0);
    }

    #[test]
    fn in_an_open_loop_the_time_that_a_request_had_to_wait_counts() {
        let address = server(ACCEPTED, Duration::from_millis(10));
        let run = run(&plan(address, Some(200.0))).unwrap();
        // 20 requests in 0.1 s, each of which takes twice the time it has.
        assert_eq!(run.events, 40);
        assert!(run.values["p99_ms"] >= 90.0, "{:?}", run.values);
    }

    #[test]
    fn another_answer_than_202_is_an_error() {
        let answer = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
        let error = run(&plan(server(answer, Duration::ZERO), None)).unwrap_err();
        assert!(error.to_string().contains("503"), "{error}");
    }
}
