//! A stream over a WebSocket (RFC 6455).

use std::{borrow::Cow, time::Duration};

use axum::{
    extract::ws::{CloseFrame, Message as Frame, Utf8Bytes, WebSocket, WebSocketUpgrade},
    response::Response,
};
use platform::{
    clock,
    http::{problem::Problem, server::ConnectionHold},
};
use tokio::time::{Instant, sleep, timeout};

use super::{
    access::{self, Access, PROTOCOL},
    handler::full,
    messages::Message,
    params::{Resume, ViewQuery},
    slots::Slot,
    stream::{End, HEARTBEAT, Outgoing, Stream},
};
use crate::service::AppState;

/// The most bytes of a message from a client, which has nothing to say but its token.
const MAX_MESSAGE_BYTES: usize = 16 * 1024;
/// How long a client may take to say who it is.
const INTRODUCTION: Duration = Duration::from_secs(10);
/// How long a client may be silent, which answers pings.
const SILENCE: Duration = HEARTBEAT.saturating_mul(3);
/// How long a client may take to close.
const GOODBYE: Duration = Duration::from_secs(1);

/// Close codes: of RFC 6455, and of our own from 4000 on.
const GOING_AWAY: u16 = 1001;
const TRY_AGAIN_LATER: u16 = 1013;
const UNAUTHORIZED: u16 = 4401;
const FORBIDDEN: u16 = 4403;
const TOO_MANY: u16 = 4429;

/// Somebody who is about to look at a view.
pub(super) struct Looking {
    pub(super) state: AppState,
    pub(super) query: ViewQuery,
    pub(super) resume: Option<Resume>,
    /// `None` of those that say in their first message who they are.
    pub(super) access: Option<Access>,
    pub(super) slot: Slot,
    /// Keeps the connection among those that the server counts and waits for.
    pub(super) hold: Option<ConnectionHold>,
}

impl Looking {
    pub(super) fn upgrade(self, upgrade: WebSocketUpgrade) -> Response {
        upgrade
            .protocols([PROTOCOL])
            .max_message_size(MAX_MESSAGE_BYTES)
            .max_frame_size(MAX_MESSAGE_BYTES)
            // What is sent is sent at once.
            .write_buffer_size(0)
            .on_upgrade(async move |mut socket| {
                let _hold = self.hold.clone();
                match self.start(&mut socket).await {
                    Ok(stream) => tell(socket, stream).await,
                    Err(problem) => refuse(socket, &problem).await,
                }
            })
    }

    async fn start(self, socket: &mut WebSocket) -> Result<Stream, Problem> {
        let Self {
            state,
            query,
            resume,
            access,
            mut slot,
            ..
        } = self;
        let live = &state.live;
        let access = match access {
            Some(access) => access,
            None => {
                let introduction = timeout(INTRODUCTION, first_message(socket));
                let token = tokio::select! {
                    token = introduction => token.ok().flatten(),
                    () = live.shutdown.triggered() => None,
                };
                let token = token.ok_or_else(access::missing)?;
                let access = access::admit(&state, &token).await?;
                slot = slot.of(access.identity.organization_id).map_err(full)?;
                access
            }
        };
        let world = live.world_for(&query, clock::now())?;
        let feed = world.feed(access.identity.organization_id, query);
        let shutdown = live.shutdown.clone();
        let expires = access.expires;
        Ok(Stream::start(
            feed,
            resume,
            expires,
            shutdown,
            "websocket",
            slot,
        ))
    }
}

/// The token in the first message, if it holds one.
async fn first_message(socket: &mut WebSocket) -> Option<String> {
    loop {
        match socket.recv().await?.ok()? {
            Frame::Text(text) => return access::token_of(&text),
            Frame::Ping(_) | Frame::Pong(_) => {}
            Frame::Binary(_) | Frame::Close(_) => return None,
        }
    }
}

async fn tell(mut socket: WebSocket, mut stream: Stream) {
    let mut heard = Instant::now();
    loop {
        let outgoing = tokio::select! {
            outgoing = stream.next() => outgoing,
            incoming = socket.recv() => match incoming {
                // What else a client says means nothing here.
                Some(Ok(frame)) if !matches!(frame, Frame::Close(_)) => {
                    heard = Instant::now();
                    continue;
                }
                _ => return,
            },
        };
        let sent = match outgoing {
            Outgoing::Message { text, .. } => send(&mut socket, &stream, text).await,
            Outgoing::Ping { .. } if heard.elapsed() > SILENCE => return,
            Outgoing::Ping { text, .. } => {
                let ping = socket.send(Frame::Ping(Vec::new().into())).await;
                ping.is_ok() && send(&mut socket, &stream, text).await
            }
            Outgoing::End { text, why } => {
                let code = match why {
                    End::TokenExpired => UNAUTHORIZED,
                    End::Shutdown => GOING_AWAY,
                    End::Restarted => TRY_AGAIN_LATER,
                };
                return part(socket, text, code, why.code().into()).await;
            }
        };
        if !sent {
            return;
        }
    }
}

/// Sends a message; whether that succeeded. Who takes none for too long is cut by the server,
/// and at a shutdown nobody is waited for.
async fn send(socket: &mut WebSocket, stream: &Stream, text: Utf8Bytes) -> bool {
    tokio::select! {
        sent = socket.send(Frame::Text(text)) => sent.is_ok(),
        () = async {
            stream.shutdown().triggered().await;
            sleep(GOODBYE).await;
        } => false,
    }
}

async fn refuse(socket: WebSocket, problem: &Problem) {
    let close = match problem.status().as_u16() {
        401 => UNAUTHORIZED,
        403 => FORBIDDEN,
        429 => TOO_MANY,
        _ => TRY_AGAIN_LATER,
    };
    let code = problem.code().to_owned();
    let text = Message::End {
        code: code.clone().into(),
    }
    .json();
    part(socket, text.into(), close, code.into()).await;
}

/// Says the last message and closes. The client's own close is waited for, so that what was
/// said last arrives.
async fn part(mut socket: WebSocket, text: Utf8Bytes, code: u16, reason: Cow<'static, str>) {
    let parting = async {
        socket.send(Frame::Text(text)).await?;
        let close = CloseFrame {
            code,
            reason: reason.into_owned().into(),
        };
        socket.send(Frame::Close(Some(close))).await?;
        while let Some(Ok(_)) = socket.recv().await {}
        Ok::<_, axum::Error>(())
    };
    // Whoever does not listen any more hears no goodbye.
    let _ = timeout(GOODBYE, parting).await;
}
