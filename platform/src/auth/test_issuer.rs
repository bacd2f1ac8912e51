//! An issuer for tests: a real server on the loopback that publishes keys.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
    http::{Request, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::Value;
use tokio::{net::TcpListener, sync::Semaphore, task::yield_now, time::Instant};
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt;
use url::Url;

use super::{
    Identity, Verifier,
    test_keys::{TestKey, key_set},
};
use crate::config::{Env, JwksConfig, JwtConfig, JwtKeys};

pub(super) const COOLDOWN: Duration = Duration::from_secs(10);

/// What the issuer's server answers, and how often it was asked.
#[derive(Clone)]
struct Issuer(Arc<Shared>);

struct Shared {
    answer: Mutex<(StatusCode, String)>,
    asked: AtomicUsize,
    /// An answer needs a permit, so that a test can hold answers back.
    open: Semaphore,
}

pub(super) struct World {
    issuer: Issuer,
    pub(super) url: Url,
    _server: AbortOnDropHandle<()>,
}

async fn answer(State(Issuer(shared)): State<Issuer>) -> Response {
    shared.asked.fetch_add(1, Ordering::SeqCst);
    let _permit = shared.open.acquire().await;
    let (status, body) = shared.answer.lock().unwrap().clone();
    (status, [(header::LOCATION, "/elsewhere")], body).into_response()
}

impl World {
    pub(super) async fn publishing(keys: &[Value]) -> Self {
        let issuer = Issuer(Arc::new(Shared {
            answer: Mutex::new((StatusCode::OK, key_set(keys))),
            asked: AtomicUsize::new(0),
            open: Semaphore::new(Semaphore::MAX_PERMITS),
        }));
        let elsewhere = key_set(&[TestKey::rsa("elsewhere").jwk()]);
        let router = Router::new()
            .route("/keys", get(answer))
            .route("/elsewhere", get(async || elsewhere))
            .with_state(issuer.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let server = tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self {
            issuer,
            url: url.parse().unwrap(),
            _server: AbortOnDropHandle::new(server),
        }
    }

    pub(super) fn publish(&self, keys: &[Value]) {
        self.answer(StatusCode::OK, &key_set(keys));
    }

    pub(super) fn answer(&self, status: StatusCode, body: &str) {
        *self.issuer.0.answer.lock().unwrap() = (status, body.to_owned());
    }

    pub(super) fn asked(&self) -> usize {
        self.issuer.0.asked.load(Ordering::SeqCst)
    }

    /// What must be free for an answer to be given: all of it is, until a test holds it back.
    pub(super) fn open(&self) -> &Semaphore {
        &self.issuer.0.open
    }

    /// Whether the server and its connections are gone.
    pub(super) fn watch(&self) -> impl Fn() -> bool + use<> {
        let issuer = Arc::downgrade(&self.issuer.0);
        move || issuer.strong_count() == 0
    }

    pub(super) fn config(&self) -> JwtConfig {
        config(&self.url, Duration::from_secs(3600))
    }

    /// A verifier that has read the keys once.
    pub(super) async fn verifier(&self) -> Verifier {
        let verifier = Verifier::start(&self.config()).unwrap();
        wait_until(|| verifier.ready()).await;
        verifier
    }
}

pub(super) fn config(url: &Url, refresh: Duration) -> JwtConfig {
    let mut config = JwtConfig::from_env(&mut Env::from_pairs([("JWT_JWKS_URL", url.as_str())]));
    config.keys = JwtKeys::Jwks(JwksConfig {
        url: url.clone(),
        refresh,
        cooldown: COOLDOWN,
        timeout: Duration::from_secs(5),
    });
    config
}

/// Waits for a condition; the test's runner is the bound.
pub(super) async fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        yield_now().await;
    }
}

/// An instant at which the cooldown of everything before is over.
pub(super) fn later() -> Instant {
    Instant::now() + COOLDOWN
}

/// The answer of a service to a request with this token.
pub(super) async fn ask(verifier: &Arc<Verifier>, token: Option<&str>) -> Response {
    let mut request = Request::get("/");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    Router::new()
        .route("/", get(async |_: Identity| ()))
        .with_state(Arc::clone(verifier))
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap()
}

pub(super) async fn body(answer: Response) -> Value {
    let bytes = to_bytes(answer.into_body(), 1 << 16).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}
