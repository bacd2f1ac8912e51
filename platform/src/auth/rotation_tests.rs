//! Public keys that come, go and cannot be had, from a real server on the loopback.

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
use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Semaphore, task::yield_now, time::Instant};
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt;
use url::Url;

use super::{
    AuthError, Identity, Refusal, Verifier,
    test_keys::{TestKey, claims, claims_with, key_set, now, part, signed},
};
use crate::config::{Env, JwksConfig, JwtConfig, JwtKeys};

const COOLDOWN: Duration = Duration::from_secs(10);

/// What the issuer's server answers, and how often it was asked.
#[derive(Clone)]
struct Issuer(Arc<Shared>);

struct Shared {
    answer: Mutex<(StatusCode, String)>,
    asked: AtomicUsize,
    /// An answer needs a permit, so that a test can hold answers back.
    open: Semaphore,
}

struct World {
    issuer: Issuer,
    url: Url,
    _server: AbortOnDropHandle<()>,
}

async fn answer(State(Issuer(shared)): State<Issuer>) -> Response {
    shared.asked.fetch_add(1, Ordering::SeqCst);
    let _permit = shared.open.acquire().await;
    let (status, body) = shared.answer.lock().unwrap().clone();
    (status, [(header::LOCATION, "/elsewhere")], body).into_response()
}

impl World {
    async fn publishing(keys: &[Value]) -> Self {
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

    fn publish(&self, keys: &[Value]) {
        self.answer(StatusCode::OK, &key_set(keys));
    }

    fn answer(&self, status: StatusCode, body: &str) {
        *self.issuer.0.answer.lock().unwrap() = (status, body.to_owned());
    }

    fn asked(&self) -> usize {
        self.issuer.0.asked.load(Ordering::SeqCst)
    }

    fn config(&self) -> JwtConfig {
        config(&self.url, Duration::from_secs(3600))
    }

    /// A verifier that has read the keys once.
    async fn verifier(&self) -> Verifier {
        let verifier = Verifier::start(&self.config()).unwrap();
        wait_until(|| verifier.ready()).await;
        verifier
    }
}

fn config(url: &Url, refresh: Duration) -> JwtConfig {
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
async fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        yield_now().await;
    }
}

/// An instant at which the cooldown of everything before is over.
fn later() -> Instant {
    Instant::now() + COOLDOWN
}

const UNKNOWN: Result<Identity, AuthError> = Err(AuthError::Invalid(Refusal::UnknownKey));

#[tokio::test]
async fn tokens_of_every_algorithm_are_believed() {
    let rsa = TestKey::rsa("rs");
    let mut keys = vec![
        TestKey::p256("p256"),
        TestKey::p384("p384"),
        TestKey::ed25519("ed"),
    ];
    use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
    for (kid, algorithm) in [
        ("1", RS256),
        ("2", RS384),
        ("3", RS512),
        ("4", PS256),
        ("5", PS384),
        ("6", PS512),
    ] {
        let mut key = rsa.clone().with_algorithm(algorithm);
        key.kid = kid;
        keys.push(key);
    }
    let published: Vec<_> = keys.iter().map(TestKey::jwk).collect();
    let world = World::publishing(&published).await;
    let mut config = world.config();
    config.algorithms = keys.iter().map(|key| key.algorithm).collect();
    let verifier = Verifier::start(&config).unwrap();
    for key in &keys {
        let verdict = verifier.verify(&key.token()).await;
        assert!(verdict.is_ok(), "{:?}: {verdict:?}", key.algorithm);
    }
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it() {
    let (old, new) = (TestKey::rsa("old"), TestKey::p256("new"));
    let world = World::publishing(&[old.jwk()]).await;
    let verifier = world.verifier().await;
    assert!(verifier.verify(&old.token()).await.is_ok());
    world.publish(&[old.jwk(), new.jwk()]);
    // Within the cooldown of the first read nothing is fetched.
    assert_eq!(verifier.verify(&new.token()).await, UNKNOWN);
    assert_eq!(world.asked(), 1);
    assert!(verifier.verify_at(&new.token(), later()).await.is_ok());
    assert!(verifier.verify(&old.token()).await.is_ok());
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_makes_one_fetch_a_cooldown() {
    let world = World::publishing(&[TestKey::rsa("known").jwk()]).await;
    let verifier = world.verifier().await;
    let first = later();
    for round in 1..=3 {
        let at = first + COOLDOWN * (round - 1);
        let tokens: Vec<_> = (0..100)
            .map(|kid| {
                let header = json!({"alg": "RS256", "kid": format!("unknown-{kid}")});
                TestKey::rsa("x").signed(&header, &claims())
            })
            .collect();
        let verdicts = join_all(tokens.iter().map(|token| verifier.verify_at(token, at))).await;
        assert!(verdicts.into_iter().all(|verdict| verdict == UNKNOWN));
        // The first read, and one for each round.
        assert_eq!(world.asked(), 1 + usize::try_from(round).unwrap());
    }
}

#[tokio::test]
async fn those_who_come_during_a_fetch_share_it_though_its_first_asker_left() {
    let (old, new) = (TestKey::rsa("old"), TestKey::ed25519("new"));
    let world = World::publishing(&[old.jwk()]).await;
    let verifier = Arc::new(world.verifier().await);
    world.publish(&[new.jwk()]);
    let open = &world.issuer.0.open;
    let gate = open
        .acquire_many(open.available_permits() as u32)
        .await
        .unwrap();
    let at = later();
    let ask = || {
        let (verifier, token) = (Arc::clone(&verifier), new.token());
        tokio::spawn(async move { verifier.verify_at(&token, at).await })
    };
    let first = ask();
    wait_until(|| world.asked() == 2).await;
    first.abort();
    let others: Vec<_> = (0..100).map(|_| ask()).collect();
    // Known keys do not wait for it.
    assert!(verifier.verify(&old.token()).await.is_ok());
    drop(gate);
    for other in others {
        assert!(other.await.unwrap().is_ok());
    }
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn old_keys_stay_during_an_outage_and_the_new_come_after_it() {
    let (old, new) = (TestKey::rsa("old"), TestKey::other_rsa("new"));
    let world = World::publishing(&[old.jwk()]).await;
    let verifier = world.verifier().await;
    let mut at = later();
    let too_large = format!("{}{}", key_set(&[new.jwk()]), " ".repeat(1 << 20));
    for (status, body) in [
        (StatusCode::INTERNAL_SERVER_ERROR, key_set(&[new.jwk()])),
        (StatusCode::NOT_FOUND, String::new()),
        (StatusCode::OK, "<html>".to_owned()),
        (StatusCode::OK, too_large),
        (StatusCode::FOUND, key_set(&[new.jwk()])),
    ] {
        world.answer(status, &body);
        let asked = world.asked();
        assert_eq!(
            verifier.verify_at(&new.token(), at).await,
            UNKNOWN,
            "{status}"
        );
        assert_eq!(world.asked(), asked + 1);
        assert!(verifier.verify(&old.token()).await.is_ok());
        at += COOLDOWN;
    }
    let elsewhere = TestKey::rsa("elsewhere").token();
    assert_eq!(verifier.verify_at(&elsewhere, at).await, UNKNOWN);
    world.publish(&[new.jwk()]);
    at += COOLDOWN;
    assert!(verifier.verify_at(&new.token(), at).await.is_ok());
    assert_eq!(verifier.verify(&old.token()).await, UNKNOWN);
}

#[tokio::test]
async fn a_removed_key_is_refused_after_the_next_refresh() {
    let (old, new) = (TestKey::rsa("old"), TestKey::p256("new"));
    let world = World::publishing(&[old.jwk(), new.jwk()]).await;
    let verifier = Verifier::start(&config(&world.url, Duration::from_millis(20))).unwrap();
    assert!(verifier.verify(&old.token()).await.is_ok());
    world.publish(&[new.jwk()]);
    while verifier.verify(&old.token()).await.is_ok() {
        yield_now().await;
    }
    assert_eq!(verifier.verify(&old.token()).await, UNKNOWN);
    assert!(verifier.verify(&new.token()).await.is_ok());
    // An empty set is a set: nobody is believed any more.
    world.publish(&[]);
    while verifier.verify(&new.token()).await.is_ok() {
        yield_now().await;
    }
    assert_eq!(verifier.verify(&new.token()).await, UNKNOWN);
}

#[tokio::test]
async fn reading_ends_with_the_verifier() {
    let world = World::publishing(&[]).await;
    let verifier = Verifier::start(&config(&world.url, Duration::from_millis(1))).unwrap();
    wait_until(|| world.asked() > 3).await;
    let issuer = Arc::downgrade(&world.issuer.0);
    drop(verifier);
    drop(world);
    // The server is gone with its connections, of which none is held open by a reader.
    while issuer.strong_count() > 0 {
        yield_now().await;
    }
}

#[tokio::test]
async fn until_a_set_was_read_a_token_is_answered_with_503() {
    let key = TestKey::rsa("k");
    let world = World::publishing(&[]).await;
    world.answer(StatusCode::SERVICE_UNAVAILABLE, "");
    let verifier = Arc::new(Verifier::start(&world.config()).unwrap());
    let answer = ask(&verifier, Some(&key.token())).await;
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "10");
    let body = body(answer).await;
    assert_eq!(body["code"], "keys_unavailable");
    // What can be refused without keys is.
    let none = format!("{}.{}.", part(&json!({"alg": "none"})), part(&claims()));
    assert_eq!(ask(&verifier, Some(&none)).await.status(), 401);
    assert_eq!(ask(&verifier, None).await.status(), 401);
    world.publish(&[key.jwk()]);
    assert!(verifier.verify_at(&key.token(), later()).await.is_ok());
}

#[tokio::test]
async fn a_file_is_read_again_like_a_url() {
    let (old, new) = (TestKey::rsa("old"), TestKey::p256("new"));
    let path = std::env::temp_dir().join(format!("flowmeter-{}.json", uuid::Uuid::new_v4()));
    let url = Url::from_file_path(&path).unwrap();
    let verifier = Verifier::start(&config(&url, Duration::from_secs(3600))).unwrap();
    let unavailable = AuthError::KeysUnavailable {
        retry_after: COOLDOWN,
    };
    assert_eq!(verifier.verify(&old.token()).await, Err(unavailable));
    std::fs::write(&path, key_set(&[old.jwk()])).unwrap();
    let at = later();
    assert!(verifier.verify_at(&old.token(), at).await.is_ok());
    std::fs::write(&path, key_set(&[new.jwk()])).unwrap();
    assert!(
        verifier
            .verify_at(&new.token(), at + COOLDOWN)
            .await
            .is_ok()
    );
    assert_eq!(verifier.verify(&old.token()).await, UNKNOWN);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(
        verifier.verify_at(&old.token(), at + 2 * COOLDOWN).await,
        UNKNOWN
    );
    assert!(verifier.verify(&new.token()).await.is_ok());
}

#[tokio::test]
async fn every_forgery_gets_the_same_answer() {
    let (rsa, p256, ed) = (
        TestKey::rsa("rsa"),
        TestKey::p256("p256"),
        TestKey::ed25519("ed"),
    );
    let world = World::publishing(&[rsa.jwk(), p256.jwk(), ed.jwk()]).await;
    let verifier = Arc::new(world.verifier().await);
    let header = |algorithm: &str, kid: &str| json!({"alg": algorithm, "kid": kid});
    let with = |name: &str, value: Value| {
        rsa.signed(&header("RS256", "rsa"), &claims_with(name, Some(value)))
    };
    let mut forged = vec![
        (Refusal::Signature, TestKey::other_rsa("rsa").token()),
        // The header names another key than the one that signed, or another algorithm.
        (
            Refusal::Algorithm,
            rsa.signed(&header("RS256", "p256"), &claims()),
        ),
        (
            Refusal::Algorithm,
            rsa.signed(&header("ES256", "rsa"), &claims()),
        ),
        (
            Refusal::Algorithm,
            rsa.clone().with_algorithm(Algorithm::PS256).token(),
        ),
        (
            Refusal::Signature,
            ed.signed(&header("ES256", "p256"), &claims()),
        ),
        (Refusal::UnknownKey, TestKey::other_rsa("other").token()),
        (
            Refusal::CriticalExtension,
            rsa.signed(
                &json!({"alg": "RS256", "kid": "rsa", "crit": ["b64"], "b64": false}),
                &claims(),
            ),
        ),
        (Refusal::Expired, with("exp", json!(now() - 60))),
        (Refusal::NotYetValid, with("nbf", json!(now() + 60))),
        (Refusal::Audience, with("aud", json!("someone"))),
        (Refusal::Issuer, with("iss", json!("someone"))),
        (Refusal::Claims, with("role", json!("root"))),
        (Refusal::Malformed, "a.b.c".to_owned()),
        (Refusal::TooLong, "a".repeat(super::MAX_TOKEN_BYTES + 1)),
        // A key that the token brings along is not looked at.
        (Refusal::Signature, {
            let own = TestKey::other_rsa("rsa");
            own.signed(
                &json!({"alg": "RS256", "kid": "rsa", "jwk": own.jwk()}),
                &claims(),
            )
        }),
    ];
    for key in [&rsa, &p256, &ed] {
        for text in key.public_texts() {
            let secret = EncodingKey::from_secret(&text);
            for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let header = json!({"alg": algorithm, "kid": key.kid});
                forged.push((
                    Refusal::Algorithm,
                    signed(&secret, algorithm, &header, &claims()),
                ));
            }
            let claimed = json!({"alg": key.algorithm, "kid": key.kid});
            let token = signed(&secret, Algorithm::HS256, &claimed, &claims());
            forged.push((Refusal::Signature, token));
        }
        for algorithm in ["none", "None", "NONE", ""] {
            let header = part(&header(algorithm, key.kid));
            forged.push((Refusal::Algorithm, format!("{header}.{}.", part(&claims()))));
        }
        let claimed = part(&json!({"alg": key.algorithm, "kid": key.kid}));
        forged.push((
            Refusal::Signature,
            format!("{claimed}.{}.", part(&claims())),
        ));
    }
    let mut bodies = Vec::new();
    for (refusal, token) in forged {
        let verdict = verifier.verify(&token).await;
        assert_eq!(verdict, Err(AuthError::Invalid(refusal)), "{token}");
        let answer = ask(&verifier, Some(&token)).await;
        assert_eq!(answer.status(), 401);
        let challenge = "Bearer realm=\"flowmeter\", error=\"invalid_token\"";
        assert_eq!(answer.headers()["www-authenticate"], challenge);
        bodies.push(body(answer).await);
    }
    assert_eq!(bodies[0]["code"], "token_invalid");
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

async fn ask(verifier: &Arc<Verifier>, token: Option<&str>) -> Response {
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

async fn body(answer: Response) -> Value {
    let bytes = to_bytes(answer.into_body(), 1 << 16).await.unwrap();
    serde_json::from_slice(&bytes).unwrap()
}
