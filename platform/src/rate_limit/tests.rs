//! Limiters as services use them, on the real Redis.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, http::Request, response::Response, routing::get};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep},
};
use tower::ServiceExt;
use url::Url;
use uuid::Uuid;

use super::{Class, RateLimiter};
use crate::{
    auth::{Identity, Role},
    config::{Env, HttpConfig, RateLimitConfig},
    http::layers,
    test_support::required_env,
};

const PATIENCE: Duration = Duration::from_secs(30);

fn limiter(pairs: &[(&str, &str)]) -> RateLimiter {
    // A limit gives back nothing worth mentioning while a test runs.
    let slow = [
        ("RATE_LIMIT_WINDOW_MS", "3600000"),
        ("RATE_LIMIT_MAX_REQUESTS", "10"),
        // The machine may be busy.
        ("RATE_LIMIT_REDIS_TIMEOUT_MS", "1000"),
    ];
    let mut env = Env::from_pairs(slow.iter().chain(pairs).copied());
    let config = RateLimitConfig::from_env(&mut env);
    env.finish().unwrap();
    RateLimiter::start(&config).unwrap()
}

/// Somebody of a new organization.
fn somebody() -> Identity {
    Identity {
        user_id: Uuid::new_v4(),
        organization_id: Uuid::new_v4(),
        role: Role::Developer,
        team_ids: None,
    }
}

fn colleague(identity: &Identity) -> Identity {
    Identity {
        user_id: Uuid::new_v4(),
        ..identity.clone()
    }
}

async fn passes(limiter: &RateLimiter, who: &Identity) -> bool {
    limiter.admit(who, Class::Single, 1).await.is_ok()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn organizations_and_classes_do_not_disturb_each_other() {
    let limiter = limiter(&[("RATE_LIMIT_READS", "1")]);
    let (us, them) = (somebody(), somebody());
    for _ in 0..10 {
        assert!(passes(&limiter, &us).await);
    }
    assert!(!passes(&limiter, &colleague(&us)).await);
    assert!(passes(&limiter, &them).await);
    assert!(limiter.admit(&us, Class::Read, 1).await.is_ok());
    assert!(limiter.admit(&us, Class::Read, 1).await.is_err());
    // Ten times ten events, in batches.
    assert!(limiter.admit(&us, Class::Batch, 60).await.is_ok());
    assert!(limiter.admit(&us, Class::Batch, 41).await.is_err());
    assert!(limiter.admit(&us, Class::Batch, 40).await.is_ok());
}

#[tokio::test]
async fn a_user_has_a_share_and_what_it_is_refused_costs_the_organization_nothing() {
    let limiter = limiter(&[("RATE_LIMIT_USER_MAX_REQUESTS", "6")]);
    let one = somebody();
    let other = colleague(&one);
    for _ in 0..6 {
        assert!(passes(&limiter, &one).await);
    }
    for _ in 0..20 {
        assert!(!passes(&limiter, &one).await);
    }
    for _ in 0..4 {
        assert!(passes(&limiter, &other).await);
    }
    assert!(!passes(&limiter, &other).await);
    // That refusal was the organization's: of its own six the other has used four.
    assert!(!passes(&limiter, &colleague(&one)).await);
}

#[tokio::test]
async fn without_limits_everything_passes_and_nothing_is_said() {
    let limiter = Arc::new(limiter(&[("RATE_LIMIT_MAX_REQUESTS", "0")]));
    let who = somebody();
    for _ in 0..1000 {
        assert!(passes(&limiter, &who).await);
    }
    let answer = call(&app(limiter, who)).await;
    assert!(answer.headers().get("ratelimit").is_none());
}

fn app(limiter: Arc<RateLimiter>, who: Identity) -> Router {
    let http = HttpConfig::from_env(&mut Env::from_pairs([("PORT", "0")]));
    let handler = async move || limiter.admit(&who, Class::Single, 1).await.map(|()| "done");
    layers::standard(Router::new().route("/", get(handler)), "test", &http)
}

async fn call(app: &Router) -> Response {
    let request = Request::get("/").body(Body::empty()).unwrap();
    app.clone().oneshot(request).await.unwrap()
}

#[tokio::test]
async fn every_answer_says_how_the_limits_stand() {
    let limits = [
        ("RATE_LIMIT_MAX_REQUESTS", "100"),
        ("RATE_LIMIT_USER_MAX_REQUESTS", "2"),
    ];
    let app = app(Arc::new(limiter(&limits)), somebody());
    let header = |answer: &Response, name| answer.headers()[name].to_str().unwrap().to_owned();

    let answer = call(&app).await;
    assert_eq!(answer.status(), 200);
    let policy = r#""single";q=100;w=3600, "single-user";q=2;w=3600"#;
    assert_eq!(header(&answer, "ratelimit-policy"), policy);
    let standing = r#""single";r=99;t=36, "single-user";r=1;t=1800"#;
    assert_eq!(header(&answer, "ratelimit"), standing);
    assert!(answer.headers().get("retry-after").is_none());

    call(&app).await;
    let answer = call(&app).await;
    assert_eq!(answer.status(), 429);
    assert_eq!(header(&answer, "ratelimit-policy"), policy);
    // The other limit was not used, and both headers name the same moment.
    let wait = header(&answer, "retry-after");
    let standing = header(&answer, "ratelimit");
    assert!(standing.starts_with(r#""single";r=98;t="#), "{standing}");
    let users = format!(r#", "single-user";r=0;t={wait}"#);
    assert!(standing.ends_with(&users), "{standing}");
    assert!((1700..=1800).contains(&wait.parse().unwrap()), "{wait}");
    let body = axum::body::to_bytes(answer.into_body(), 1 << 16).await;
    let body: serde_json::Value = serde_json::from_slice(&body.unwrap()).unwrap();
    assert_eq!(body["code"], "rate_limited");
    assert_eq!(body["violated-policies"][0], "single-user");
    assert_eq!(body["violated-policies"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn two_instances_share_one_limit() {
    let redis = required_env("REDIS_URL");
    let limits = [
        ("REDIS_URL", redis.as_str()),
        ("RATE_LIMIT_MAX_REQUESTS", "40"),
        ("RATE_LIMIT_USER_MAX_REQUESTS", "25"),
    ];
    let instances = [Arc::new(limiter(&limits)), Arc::new(limiter(&limits))];
    for instance in &instances {
        until("connected", || instance.is_shared()).await;
    }
    let one = somebody();
    let other = colleague(&one);
    let mut admitted = Vec::new();
    for who in [&one, &other] {
        let mut requests = JoinSet::new();
        for number in 0..60 {
            let (instance, who) = (Arc::clone(&instances[number % 2]), who.clone());
            requests.spawn(async move { passes(&instance, &who).await });
        }
        let outcomes = requests.join_all().await;
        admitted.push(outcomes.into_iter().filter(|passed| *passed).count());
    }
    // The first has its own 25, the other what is left of the organization's 40.
    assert_eq!(admitted, [25, 15]);
    assert!(instances.iter().all(|instance| instance.is_shared()));
}

#[tokio::test]
async fn while_redis_is_away_each_instance_limits_alone_until_it_is_back() {
    let road = Road::open(None).await;
    let url = format!("redis://{}", road.address);
    let limiter = limiter(&[("REDIS_URL", &url)]);
    let who = somebody();
    until("connected", || limiter.is_shared()).await;
    for _ in 0..10 {
        assert!(passes(&limiter, &who).await);
    }
    assert!(!passes(&limiter, &who).await);

    let address = road.close().await;
    // The limit of this process alone, which was not used yet.
    let mut alone = 0;
    while passes(&limiter, &who).await {
        alone += 1;
    }
    assert_eq!(alone, 10);
    assert!(!limiter.is_shared());

    let _road = Road::open(Some(address)).await;
    until("connected again", || limiter.is_shared()).await;
    // Redis has kept what was used before.
    assert!(!passes(&limiter, &who).await);
    assert!(passes(&limiter, &somebody()).await);
    assert!(limiter.is_shared());
}

#[tokio::test]
async fn a_redis_that_does_not_answer_delays_one_request_and_no_more() {
    let road = Road::open(None).await;
    let url = format!("redis://{}", road.address);
    let limiter = limiter(&[("REDIS_URL", &url), ("RATE_LIMIT_MAX_REQUESTS", "1000")]);
    until("connected", || limiter.is_shared()).await;
    road.blocked.store(true, Ordering::SeqCst);
    let began = Instant::now();
    for _ in 0..200 {
        assert!(passes(&limiter, &somebody()).await);
    }
    assert!(!limiter.is_shared());
    // One wait of a second, and none for the 199 others.
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_redis_that_was_never_there_is_no_reason_not_to_start() {
    let limiter = limiter(&[("REDIS_URL", "redis://127.0.0.1:1")]);
    let who = somebody();
    for _ in 0..10 {
        assert!(passes(&limiter, &who).await);
    }
    assert!(!passes(&limiter, &who).await);
    assert!(!limiter.is_shared());
}

/// A road to the real Redis that a test can close without closing it for others.
struct Road {
    address: SocketAddr,
    blocked: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Road {
    /// A new one, on a free port or where there was one before.
    async fn open(address: Option<SocketAddr>) -> Self {
        let address = address.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = TcpListener::bind(address).await.unwrap();
        let redis = Url::parse(&required_env("REDIS_URL")).unwrap();
        let redis = (
            redis.host_str().unwrap().to_owned(),
            redis.port().unwrap_or(6379),
        );
        let address = listener.local_addr().unwrap();
        let blocked = Arc::new(AtomicBool::new(false));
        let closed = Arc::clone(&blocked);
        let task = tokio::spawn(async move {
            // Ended with the set, that is, with this task.
            let mut connections = JoinSet::new();
            loop {
                let (near, _) = listener.accept().await.unwrap();
                let far = TcpStream::connect(redis.clone()).await.unwrap();
                connections.spawn(carry(near, far, Arc::clone(&closed)));
            }
        });
        Self {
            address,
            blocked,
            task,
        }
    }

    /// Ends all connections and takes no more.
    async fn close(self) -> SocketAddr {
        self.task.abort();
        let _ = self.task.await;
        self.address
    }
}

/// Carries bytes both ways; while blocked, none that are sent to Redis.
async fn carry(near: TcpStream, far: TcpStream, blocked: Arc<AtomicBool>) {
    let ((mut requests, mut near), (mut answers, mut far)) = (near.into_split(), far.into_split());
    let there = async {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(count @ 1..) = requests.read(&mut bytes).await {
            if !blocked.load(Ordering::SeqCst) && far.write_all(&bytes[..count]).await.is_err() {
                break;
            }
        }
    };
    let back = tokio::io::copy(&mut answers, &mut near);
    tokio::select! {
        () = there => {}
        _ = back => {}
    }
}
