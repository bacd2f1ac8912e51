//! A client of live views, for tests and benchmarks.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest, http::HeaderValue},
};

/// How long a message may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The rows of a view, as its messages say.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LiveRows {
    /// By bucket and group.
    rows: BTreeMap<(String, String), Value>,
    /// The last cursor; empty before the first.
    pub cursor: String,
    /// The oldest bucket of the view.
    pub from: String,
}

impl LiveRows {
    /// Takes a message.
    ///
    /// # Panics
    /// When it is none.
    pub fn apply(&mut self, message: &Value) {
        match message["type"].as_str() {
            Some("snapshot") => self.rows.clear(),
            Some("delta" | "ping") => {}
            Some("gap" | "end") => return,
            _ => panic!("no message: {message}"),
        }
        message["cursor"]
            .as_str()
            .expect("a cursor")
            .clone_into(&mut self.cursor);
        for row in message["rows"].as_array().into_iter().flatten() {
            let bucket = row["bucket_start"].as_str().expect("a bucket").to_owned();
            let group = [
                "user_id",
                "team_id",
                "command_name",
                "agent_name",
                "metric_type",
            ];
            let group = group.map(|name| row.get(name).map(Value::to_string));
            self.rows
                .insert((bucket, format!("{group:?}")), row.clone());
        }
        let from = message["from"].as_str().expect("the oldest bucket");
        from.clone_into(&mut self.from);
        self.rows.retain(|(bucket, _), _| bucket.as_str() >= from);
    }

    /// The rows by bucket and group.
    pub fn rows(&self) -> Vec<Value> {
        self.rows.values().cloned().collect()
    }

    /// The sum of a figure over all rows.
    pub fn sum(&self, pointer: &str) -> u64 {
        let figure = |row: &Value| row.pointer(pointer).and_then(Value::as_u64);
        self.rows.values().filter_map(figure).sum()
    }
}

/// A client over a WebSocket.
pub struct LiveClient {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// What it knows.
    pub view: LiveRows,
    /// The code it was closed with.
    pub closed: Option<u16>,
}

/// How a client says who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Introduction {
    /// `Authorization`.
    Header,
    /// `Sec-WebSocket-Protocol`.
    Protocol,
    /// The first message.
    Message,
}

impl LiveClient {
    /// Connects to `/live` at `base` (`http://host:port`) with these parameters.
    ///
    /// # Errors
    /// The status and the body of a refusal; the status 0 when there was no answer.
    pub async fn connect(base: &str, query: &str, token: &str) -> Result<Self, (u16, Value)> {
        Self::connect_by(base, query, token, Introduction::Header).await
    }

    /// The same, with the token in the way that is said.
    ///
    /// # Errors
    /// As [`LiveClient::connect`].
    pub async fn connect_by(
        base: &str,
        query: &str,
        token: &str,
        how: Introduction,
    ) -> Result<Self, (u16, Value)> {
        let base = base.replacen("http", "ws", 1);
        let address = format!("{base}/api/metrics/live?{query}");
        let mut request = address.into_client_request().expect("an address");
        let mut header = |name, value: String| {
            let value = HeaderValue::from_str(&value).expect("a header");
            request.headers_mut().insert(name, value);
        };
        match how {
            Introduction::Header => header("authorization", format!("Bearer {token}")),
            Introduction::Protocol => header(
                "sec-websocket-protocol",
                format!("flowmeter.live.v1, bearer.{token}"),
            ),
            Introduction::Message => {}
        }
        let connected = connect_async(request).await;
        let (mut socket, _) = connected.map_err(|error| match error {
            tungstenite::Error::Http(response) => {
                let body = response.body().as_deref().unwrap_or_default();
                let body = serde_json::from_slice(body).unwrap_or(Value::Null);
                (response.status().as_u16(), body)
            }
            error => (0, Value::String(error.to_string())),
        })?;
        if how == Introduction::Message {
            let auth = serde_json::json!({"type": "auth", "token": token}).to_string();
            let sent = socket.send(Message::text(auth)).await;
            sent.map_err(|error| (0, Value::String(error.to_string())))?;
        }
        Ok(Self {
            socket,
            view: LiveRows::default(),
            closed: None,
        })
    }

    /// The next message, which is taken into the view; `None` when the connection has ended.
    ///
    /// # Panics
    /// When none comes in a minute.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            let next = timeout(PATIENCE, self.socket.next()).await;
            match next.expect("a message in a minute")?.ok()? {
                Message::Text(text) => {
                    let message = serde_json::from_str(&text).expect("JSON");
                    self.view.apply(&message);
                    return Some(message);
                }
                Message::Close(frame) => self.closed = frame.map(|frame| frame.code.into()),
                _ => {}
            }
        }
    }

    /// Takes messages until the rows are as wanted; `false` when the connection ended before.
    pub async fn until(&mut self, mut wanted: impl FnMut(&LiveRows) -> bool) -> bool {
        while !wanted(&self.view) {
            if self.next().await.is_none() {
                return false;
            }
        }
        true
    }
}
