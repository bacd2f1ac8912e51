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
    let lines = buffer[..head].split(|byte| *byte == b'\n');
    let mut lines = lines.map(|line| line.trim_ascii());
    let first = lines.next().unwrap_or_default();
    let told = first
        .strip_prefix(b"HTTP/1.1 ")
        .and_then(|rest| rest.get(..3));
    if told != Some(status.to_string().as_bytes()) {
        bail!(
            "not answered with {status}: {}",
            String::from_utf8_lossy(first)
        );
    }
    let (mut length, mut is_chunked) = (None, false);
    for line in lines {
        if let Some(value) = value(line, b"content-length:") {
            length = str::from_utf8(value)?.parse::<u64>().ok();
        }
        is_chunked |= value(line, b"transfer-encoding:") == Some(b"chunked");
    }
    // Nothing follows the head (RFC 9110, section 15.4.5).
    if status == 304 {
        return Ok(0);
    }
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
    ensure!(is_chunked, "an answer without a length");
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

/// What a line says, if it begins with this name in any case.
fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then(|| rest.trim_ascii())
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|part| part == wanted)
}
