//! Answers of HTTP/1.1 as loads read them: to their ends, and dropped.

use anyhow::{bail, ensure};
use tokio::{io::AsyncReadExt, net::TcpStream};

/// Reads an answer, which must have this status; gives how many bytes its body had.
///
/// # Errors
/// If it has another status, no length, or no end.
pub(super) async fn read(
    stream: &mut TcpStream,
    buffer: &mut Vec<u8>,
    status: u16,
) -> anyhow::Result<u64> {
    buffer.clear();
    let head = loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            break end + 4;
        }
        ensure!(stream.read_buf(buffer).await? > 0, "the server hung up");
    };
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    let mut words = text.split(' ');
    if words.next() != Some("http/1.1") || words.next().and_then(|s| s.parse().ok()) != Some(status)
    {
        bail!(
            "not answered with {status}: {}",
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
