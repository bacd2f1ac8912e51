//! A closed loop of HTTP/1.1 requests over connections that are kept: each sends its next
//! request when the answer to the last is there. One thread; answers are read and dropped.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::LocalSet,
};

use super::{Run, process::CpuClock};

/// What to send.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// Host and port.
    pub address: String,
    /// Paths with their queries, each connection asks for them in turns.
    pub paths: Vec<String>,
    /// Of the header `Authorization`.
    pub token: String,
    /// Connections at a time.
    pub connections: usize,
    /// How long requests are begun, in seconds.
    pub seconds: f64,
}

/// Runs a plan that is in a file, as JSON.
///
/// # Errors
/// If there is none, a connection fails, or an answer is not 200.
pub fn run_file(path: &Path) -> anyhow::Result<Run> {
    let plan: Plan = serde_json::from_slice(&std::fs::read(path)?)?;
    run(&plan)
}

/// Runs a plan. Latencies are in `values`, in milliseconds, as this side sees them.
///
/// # Errors
/// As [`run_file`].
pub fn run(plan: &Plan) -> anyhow::Result<Run> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, load(plan))
}

async fn load(plan: &Plan) -> anyhow::Result<Run> {
    let requests: Vec<Vec<u8>> = plan.paths.iter().map(|path| request(plan, path)).collect();
    ensure!(!requests.is_empty(), "there is nothing to ask for");
    let mut streams = Vec::with_capacity(plan.connections);
    for _ in 0..plan.connections {
        let stream = TcpStream::connect(&plan.address).await;
        let stream = stream.with_context(|| format!("nobody answers at {}", plan.address))?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let (began, clock) = (Instant::now(), CpuClock::own());
    let until = began + Duration::from_secs_f64(plan.seconds);
    let requests: &'static [Vec<u8>] = requests.leak();
    let tasks: Vec<_> = streams
        .into_iter()
        .enumerate()
        .map(|(n, stream)| tokio::task::spawn_local(connection(stream, requests, n, until)))
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
    let millis = |quantile: f64| all.value_at_quantile(quantile) as f64 / 1000.0;
    Ok(Run {
        events: all.len(),
        seconds,
        parts: vec![clock.part("load")],
        values: [
            ("p50_ms".to_owned(), millis(0.5)),
            ("p95_ms".to_owned(), millis(0.95)),
            ("p99_ms".to_owned(), millis(0.99)),
            (
                "kb_an_answer".to_owned(),
                bytes as f64 / 1000.0 / all.len().max(1) as f64,
            ),
        ]
        .into(),
    })
}

fn request(plan: &Plan, path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\r\n",
        plan.address, plan.token
    )
    .into_bytes()
}

struct Done {
    latencies: Histogram<u64>,
    bytes: u64,
}

async fn connection(
    mut stream: TcpStream,
    requests: &[Vec<u8>],
    first: usize,
    until: Instant,
) -> anyhow::Result<Done> {
    let mut latencies = Histogram::new(3)?;
    let (mut buffer, mut bytes) = (Vec::with_capacity(1 << 16), 0);
    for request in requests.iter().cycle().skip(first % requests.len()) {
        let sent = Instant::now();
        if sent >= until {
            break;
        }
        stream.write_all(request).await?;
        bytes += answer(&mut stream, &mut buffer).await?;
        latencies.record(u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX))?;
    }
    Ok(Done { latencies, bytes })
}

/// Reads an answer, which must be a 200 with its length; gives how long its body was.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<u64> {
    buffer.clear();
    let head = loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            break end + 4;
        }
        ensure!(stream.read_buf(buffer).await? > 0, "the server hung up");
    };
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    if !text.starts_with("http/1.1 200 ") {
        bail!(
            "not answered with 200: {}",
            text.lines().next().unwrap_or_default()
        );
    }
    let length = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|length| length.trim().parse::<u64>().ok());
    if let Some(length) = length {
        let mut missing = length.saturating_sub((buffer.len() - head) as u64);
        while missing > 0 {
            buffer.clear();
            let read = stream.read_buf(buffer).await? as u64;
            ensure!(read > 0, "the server hung up within an answer");
            missing = missing.saturating_sub(read);
        }
        return Ok(length);
    }
    ensure!(
        text.contains("transfer-encoding: chunked"),
        "an answer without a length"
    );
    // Nothing is behind the last chunk, since the next request was not sent yet.
    let mut received = (buffer.len() - head) as u64;
    let mut tail = buffer[head..].to_vec();
    while !tail.ends_with(b"0\r\n\r\n") {
        buffer.clear();
        let read = stream.read_buf(buffer).await?;
        ensure!(read > 0, "the server hung up within an answer");
        received += read as u64;
        tail.extend_from_slice(buffer);
        tail.drain(..tail.len().saturating_sub(5));
    }
    Ok(received)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|part| part == wanted)
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

    fn plan(address: String) -> Plan {
        Plan {
            address,
            paths: vec!["/a".to_owned(), "/b".to_owned()],
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
        let run = run(&plan(address)).unwrap();
        assert!(run.events >= 2 && run.values["p50_ms"] <= run.values["p99_ms"]);
    }

    #[test]
    fn another_answer_than_200_is_an_error() {
        let address = server(&["HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"]);
        let error = run(&plan(address)).unwrap_err().to_string();
        assert!(error.contains("429"), "{error}");
    }
}
