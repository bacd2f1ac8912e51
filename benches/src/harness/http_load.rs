//! A closed loop of HTTP/1.1 requests over connections that are kept: each sends its next
//! request when the answer to the last is there. One thread; answers are read and dropped.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::{io::AsyncWriteExt, net::TcpStream, task::LocalSet};

use super::{Run, http_answer, process::CpuClock, statistics::latencies};

/// What to send.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// Host and port.
    pub address: String,
    /// Each connection sends them in turns.
    pub requests: Vec<Request>,
    /// Of the header `Authorization`.
    pub token: String,
    /// Connections at a time.
    pub connections: usize,
    /// How long requests are begun, in seconds.
    pub seconds: f64,
}

/// A GET, and how it is to be answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// Path and query.
    pub path: String,
    /// Headers besides host and token.
    pub headers: Vec<(String, String)>,
    /// The status of its answer.
    pub status: u16,
}

/// Runs a plan. Latencies are in `values`, in milliseconds, as this side sees them.
///
/// # Errors
/// If a connection fails, or an answer has another status.
pub fn run(plan: &Plan) -> anyhow::Result<Run> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, load(plan))
}

async fn load(plan: &Plan) -> anyhow::Result<Run> {
    let requests: Rc<[(Vec<u8>, u16)]> = plan
        .requests
        .iter()
        .map(|request| (bytes(plan, request), request.status))
        .collect();
    ensure!(!requests.is_empty(), "there is nothing to ask for");
    let streams = connect(&plan.address, plan.connections).await?;
    let (began, clock) = (Instant::now(), CpuClock::own());
    let until = began + Duration::from_secs_f64(plan.seconds);
    let tasks: Vec<_> = streams
        .into_iter()
        .enumerate()
        .map(|(n, stream)| tokio::task::spawn_local(connection(stream, requests.clone(), n, until)))
        .collect();
    // In microseconds.
    let mut all = Histogram::<u64>::new(3)?;
    let mut bytes = 0;
    for task in tasks {
        let done = task.await??;
        all.add(&done.latencies)?;
        bytes += done.bytes;
    }
    let seconds = began.elapsed().as_secs_f64();
    let mut values = latencies(&all);
    let kb_an_answer = bytes as f64 / 1000.0 / all.len().max(1) as f64;
    values.insert("kb_an_answer".to_owned(), kb_an_answer);
    Ok(Run {
        events: all.len(),
        seconds,
        parts: vec![clock.part("load")],
        values,
    })
}

/// So many connections to an address.
pub(super) async fn connect(address: &str, connections: usize) -> anyhow::Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(connections);
    for _ in 0..connections {
        let stream = TcpStream::connect(address).await;
        let stream = stream.with_context(|| format!("nobody answers at {address}"))?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    Ok(streams)
}

fn bytes(plan: &Plan, request: &Request) -> Vec<u8> {
    let headers = request.headers.iter();
    let headers: String = headers
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!(
        "GET {} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n{headers}\r\n",
        request.path, plan.address, plan.token
    )
    .into_bytes()
}

struct Done {
    latencies: Histogram<u64>,
    bytes: u64,
}

async fn connection(
    mut stream: TcpStream,
    requests: Rc<[(Vec<u8>, u16)]>,
    first: usize,
    until: Instant,
) -> anyhow::Result<Done> {
    let mut latencies = Histogram::new(3)?;
    let (mut buffer, mut bytes) = (Vec::with_capacity(1 << 18), 0);
    for (request, status) in requests.iter().cycle().skip(first % requests.len()) {
        let sent = Instant::now();
        if sent >= until {
            break;
        }
        stream.write_all(request).await?;
        bytes += http_answer::read(&mut stream, &mut buffer, *status).await?;
        latencies.record(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX))?;
    }
    Ok(Done { latencies, bytes })
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    use super::*;

    /// Answers each request with the next of some answers, over and over.
    fn server(answers: &'static [&'static str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            for answer in answers.iter().cycle() {
                if stream.read(&mut request).unwrap_or(0) == 0 {
                    return;
                }
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        });
        address
    }

    fn plan(address: String, status: u16) -> Plan {
        let request = |path: &str| Request {
            path: path.to_owned(),
            headers: vec![("accept-encoding".to_owned(), "gzip".to_owned())],
            status,
        };
        Plan {
            address,
            requests: vec![request("/a"), request("/b")],
            token: "t".to_owned(),
            connections: 1,
            seconds: 0.05,
        }
    }

    #[test]
    fn answers_of_either_form_are_read_to_their_ends() {
        let address = server(&[
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
        ]);
        let run = run(&plan(address, 200)).unwrap();
        assert!(run.events >= 2 && run.values["p50_ms"] <= run.values["p99_ms"]);
    }

    #[test]
    fn an_answer_without_a_body_is_read() {
        let address = server(&["HTTP/1.1 304 Not Modified\r\nETag: W/\"a\"\r\n\r\n"]);
        assert!(run(&plan(address, 304)).unwrap().events >= 2);
    }

    #[test]
    fn another_answer_than_200_is_an_error() {
        let address = server(&["HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"]);
        let error = run(&plan(address, 200)).unwrap_err().to_string();
        assert!(error.contains("429"), "{error}");
    }
}
