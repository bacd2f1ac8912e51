//! Public keys that come, go and cannot be had.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use futures_util::future::join_all;
use jsonwebtoken::Algorithm;
use serde_json::json;
use tokio::task::yield_now;
use url::Url;

use super::{
    AuthError, Identity, Refusal, Verifier,
    test_issuer::{COOLDOWN, World, ask, body, config, later, wait_until},
    test_keys::{TestKey, claims, key_set, part},
};

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
    let open = world.open();
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
    let gone = world.watch();
    drop(verifier);
    drop(world);
    // The server is gone with its connections only if no reader holds one open.
    wait_until(gone).await;
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
