//! Against a real registry, and against one that answers as told.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::test_support::required_env;

const TIMEOUT: Duration = Duration::from_secs(5);

fn real() -> RegistryClient {
    RegistryClient::new(&required_env("SCHEMA_REGISTRY_URL"), TIMEOUT).unwrap()
}

fn schema(field_type: &str) -> String {
    json!({ "type": "record", "name": "X", "fields": [{ "name": "a", "type": field_type }] })
        .to_string()
}

/// The status and the body of an answer.
type Answer = (&'static str, &'static str);

const UNKNOWN: Answer = ("404 X", r#"{"error_code":40403}"#);

/// A registry that gives each request the same answer, and counts them.
async fn fake(
    status: &'static str,
    body: &'static str,
    delay: Duration,
) -> (RegistryClient, Arc<AtomicUsize>) {
    fake_in_turn(&[(status, body)], delay).await
}

/// A registry that gives these answers in turn, the last of them for ever, and counts requests.
async fn fake_in_turn(answers: &[Answer], delay: Duration) -> (RegistryClient, Arc<AtomicUsize>) {
    let answers = answers.to_vec();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let before = counted.fetch_add(1, Ordering::SeqCst);
            let (status, body) = answers[before.min(answers.len() - 1)];
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = socket.read(&mut request).await;
                tokio::time::sleep(delay).await;
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                let _ = socket.write_all(answer.as_bytes()).await;
            });
        }
    });
    let client = RegistryClient::new(
        &format!("http://user:pw@{address}/api"),
        Duration::from_millis(500),
    )
    .unwrap();
    (client, count)
}

fn cache(client: RegistryClient, settings: &CacheSettings) -> SchemaCache<usize> {
    doubting_cache(client, Unknown::Believed, settings)
}

fn doubting_cache(
    client: RegistryClient,
    unknown: Unknown,
    settings: &CacheSettings,
) -> SchemaCache<usize> {
    SchemaCache::new(client, unknown, settings, |text| {
        if text == "bad" {
            Err("bad".to_owned())
        } else {
            Ok(text.len())
        }
    })
}

#[tokio::test]
async fn schemas_are_registered_found_and_kept_compatible() {
    let client = real();
    assert!(client.healthy().await);
    let subject = format!("t-{}-value", Uuid::new_v4());
    let id = client.register(&subject, &schema("string")).await.unwrap();
    assert_eq!(
        client.register(&subject, &schema("string")).await.unwrap(),
        id
    );
    let found: serde_json::Value =
        serde_json::from_str(&client.schema_by_id(id).await.unwrap()).unwrap();
    assert_eq!(found["name"], "X");

    client
        .set_compatibility(&subject, "BACKWARD_TRANSITIVE")
        .await
        .unwrap();
    let error = client.register(&subject, &schema("int")).await.unwrap_err();
    assert!(
        matches!(error, RegisterError::Incompatible { .. }),
        "{error}"
    );
    let error = client.register(&subject, "not a schema").await.unwrap_err();
    assert!(matches!(error, RegisterError::Refused(_)), "{error}");

    assert_eq!(
        client.schema_by_id(i32::MAX).await,
        Err(LookupError::NotFound)
    );
    assert_eq!(
        client.schema_by_guid(Uuid::new_v4()).await,
        Err(LookupError::NotFound)
    );
    let removed = client
        .ask(Method::DELETE, &["subjects", &subject], None)
        .await
        .unwrap();
    assert!(removed.status.is_success());
}

#[tokio::test]
async fn only_the_registrys_own_word_condemns_a_record() {
    let transient = |error: &LookupError| matches!(error, LookupError::Transient(_));
    for status in [
        "500 X", "503 X", "429 X", "401 X", "403 X", "404 X", "400 X", "200 OK",
    ] {
        let (client, _) = fake(status, "<html>", Duration::ZERO).await;
        let error = client.schema_by_id(1).await.unwrap_err();
        assert!(transient(&error), "{status}: {error}");
    }
    let (slow, _) = fake("200 OK", "{}", Duration::from_secs(2)).await;
    assert!(transient(&slow.schema_by_id(1).await.unwrap_err()));
    let nobody = RegistryClient::new("http://127.0.0.1:1", TIMEOUT).unwrap();
    assert!(transient(&nobody.schema_by_id(1).await.unwrap_err()));

    let (client, _) = fake(
        "404 X",
        r#"{"error_code":40403,"message":"m"}"#,
        Duration::ZERO,
    )
    .await;
    assert_eq!(client.schema_by_id(1).await, Err(LookupError::NotFound));
    for body in [
        r#"{"schema":"x","schemaType":"PROTOBUF"}"#,
        r#"{"schema":"x","references":[{"name":"y"}]}"#,
    ] {
        let (client, _) = fake("200 OK", body, Duration::ZERO).await;
        assert!(matches!(
            client.schema_by_id(1).await,
            Err(LookupError::Invalid(_))
        ));
    }
}

#[tokio::test]
async fn many_who_ask_at_once_make_one_request_and_later_ones_none() {
    let (client, requests) =
        fake("200 OK", r#"{"schema":"four"}"#, Duration::from_millis(50)).await;
    let cache = cache(client, &CacheSettings::default());
    let asked = futures_util::future::join_all((0..100).map(|_| cache.get(SchemaRef::Id(1)))).await;
    assert!(
        asked
            .into_iter()
            .all(|answer| answer.is_ok_and(|length| *length == 4))
    );
    cache.get(SchemaRef::Id(1)).await.unwrap();
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_caller_that_gives_up_takes_nobodys_answer_away() {
    let (client, requests) =
        fake("200 OK", r#"{"schema":"four"}"#, Duration::from_millis(100)).await;
    let cache = cache(client, &CacheSettings::default());
    let impatient =
        tokio::time::timeout(Duration::from_millis(10), cache.get(SchemaRef::Id(1))).await;
    assert!(impatient.is_err());
    assert_eq!(*cache.get(SchemaRef::Id(1)).await.unwrap(), 4);
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn useless_and_unknown_schemas_are_remembered_and_faults_are_not() {
    for (status, body, requests_of_two) in [
        ("200 OK", r#"{"schema":"bad"}"#, 1),
        ("404 X", r#"{"error_code":40403}"#, 1),
        ("500 X", "", 2),
    ] {
        let (client, requests) = fake(status, body, Duration::ZERO).await;
        let cache = cache(client, &CacheSettings::default());
        let first = cache.get(SchemaRef::Id(1)).await;
        assert!(first.is_err());
        assert_eq!(cache.get(SchemaRef::Id(1)).await, first);
        assert_eq!(requests.load(Ordering::SeqCst), requests_of_two, "{status}");
    }
}

/// As one that reads its store while it answers.
#[tokio::test]
async fn a_registry_that_does_not_know_what_it_was_given_is_not_believed() {
    let (client, requests) = fake_in_turn(&[UNKNOWN], Duration::ZERO).await;
    client.registered.store(7, Ordering::Relaxed);
    let watched = watched(&client);
    let cache = doubting_cache(
        client,
        Unknown::BelievedOf(watched),
        &CacheSettings::default(),
    );
    // More often than one that knows would have to be asked.
    while requests.load(Ordering::SeqCst) < 100 {
        let error = cache.get(SchemaRef::Id(8)).await.unwrap_err();
        assert!(matches!(error, LookupError::Transient(_)), "{error}");
    }
}

#[tokio::test]
async fn a_registry_is_believed_once_it_has_known_for_a_while_what_it_was_given() {
    let client = real();
    let subject = format!("t-{}-value", Uuid::new_v4());
    let watched = watched(&client);
    let cache = doubting_cache(
        client.clone(),
        Unknown::BelievedOf(watched.clone()),
        &CacheSettings::default(),
    );
    let unknown = SchemaRef::Id(i32::MAX);
    assert!(!watched.is_settled().await, "nothing was registered yet");
    let error = cache.get(unknown).await.unwrap_err();
    assert!(matches!(error, LookupError::Transient(_)), "{error}");
    client.register(&subject, &schema("string")).await.unwrap();
    let believed = async {
        while cache.get(unknown).await != Err(LookupError::NotFound) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), believed)
        .await
        .unwrap();
    let removed = client
        .ask(Method::DELETE, &["subjects", &subject], None)
        .await
        .unwrap();
    assert!(removed.status.is_success());
}

fn watched(client: &RegistryClient) -> SettledRegistry {
    let (looks, patience) = (Duration::from_millis(10), Duration::from_millis(100));
    SettledRegistry::watch_every(looks, patience, client.clone())
}

#[tokio::test]
async fn an_unknown_schema_that_gets_registered_is_found_however_often_it_was_used_before() {
    let settings = CacheSettings {
        unknown_lifetime: Duration::from_millis(50),
        ..CacheSettings::default()
    };
    let answers = &[UNKNOWN, ("200 OK", r#"{"schema":"four"}"#)];
    let (client, requests) = fake_in_turn(answers, Duration::ZERO).await;
    let cache = cache(client, &settings);
    let used_until_found = async {
        loop {
            match cache.get(SchemaRef::Id(1)).await {
                Ok(schema) => return *schema,
                Err(error) => assert_eq!(error, LookupError::NotFound),
            }
            tokio::task::yield_now().await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(60), used_until_found).await;
    assert_eq!(found.expect("asked again"), 4);
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_flood_of_invented_ids_reaches_the_registry_at_a_fixed_rate() {
    let settings = CacheSettings {
        unknown_per_second: 10,
        longest_wait: Duration::from_millis(100),
        ..CacheSettings::default()
    };
    let (client, requests) = fake_in_turn(&[UNKNOWN], Duration::ZERO).await;
    let cache = cache(client, &settings);
    let asked =
        futures_util::future::join_all((0..200).map(|id| cache.get(SchemaRef::Id(id)))).await;
    let not_found = asked
        .iter()
        .filter(|answer| **answer == Err(LookupError::NotFound))
        .count();
    assert_eq!(not_found, requests.load(Ordering::SeqCst));
    assert!((10..=13).contains(&not_found), "{not_found}");
    assert!(asked.iter().all(Result::is_err));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_of_its_own_can_ask() {
    let (client, _) = fake("200 OK", r#"{"schema":"four"}"#, Duration::ZERO).await;
    let cache = cache(client, &CacheSettings::default());
    let runtime = tokio::runtime::Handle::current();
    let answer =
        tokio::task::spawn_blocking(move || cache.get_blocking(&runtime, SchemaRef::Id(1))).await;
    assert_eq!(*answer.unwrap().unwrap(), 4);
}

/// As an installation that has seen them all meets the newest.
#[tokio::test]
async fn the_newest_schema_of_rollups_may_follow_every_earlier_one() {
    let client = real();
    let subject = format!("t-{}-value", Uuid::new_v4());
    client
        .set_compatibility(&subject, "BACKWARD_TRANSITIVE")
        .await
        .unwrap();
    let first = include_str!("../../../../schemas/avro/earlier/rollup_batch_1.avsc");
    for schema in [first, schemas::codec::rollup_schema()] {
        client.register(&subject, schema).await.unwrap();
    }
}

#[test]
fn a_printed_client_tells_no_secret() {
    let client = RegistryClient::new("https://user:hunter2@registry/x", TIMEOUT).unwrap();
    assert!(!format!("{client:?}").contains("hunter2"));
    assert!(RegistryClient::new("ftp://x", TIMEOUT).is_err());
}
