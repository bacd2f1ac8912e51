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
    /// Paths with their queries, each connection asks for them in turns.
    pub paths: Vec<String>,
    /// Of the header `Authorization`.
    pub token: String,
    /// Connections at a time.
    pub connections: usize,
    /// How long requests are begun, in seconds.
    pub seconds: f64,
}

/// Runs a plan. Latencies are in `values`, in milliseconds, as this side sees them.
///
/// # Errors
/// If a connection fails, or an answer is not 200.
pub fn run(plan: &Plan) -> anyhow::Result<Run> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, load(plan))
}

async fn load(plan: &Plan) -> anyhow::Result<Run> {
    let requests: Rc<[Vec<u8>]> = plan.paths.iter().map(|path| request(plan, path)).collect();
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
    requests: Rc<[Vec<u8>]>,
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
        bytes += http_answer::read(&mut stream, &mut buffer, 200).await?;
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
