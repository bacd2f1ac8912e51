//! The schema registry (Confluent's REST API), and schemas by the reference a record carries.

mod cache;
mod framing;
mod limits;
mod settled;

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use reqwest::{Method, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::config::KafkaConfig;

pub use self::cache::{CacheSettings, SchemaCache, Unknown};
pub use self::framing::{FramingError, SCHEMA_ID_HEADER, SchemaRef, frame, split};
pub use self::settled::SettledRegistry;

const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// Answers beyond this are not schemas (bytes).
const MAX_ANSWER: usize = 4 << 20;

/// Why a schema is not to be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The registry says that there is no such schema, for now: ids are given
    /// out in order, so one unknown today may be registered tomorrow.
    #[error("the schema registry knows no such schema")]
    NotFound,
    /// The registry did not answer as one; ask again. Never a verdict about a record.
    #[error("the schema registry cannot be asked now: {0}")]
    Transient(String),
    /// There is a schema and it is of no use: not Avro, with references, or unreadable.
    #[error("the schema cannot be used: {0}")]
    Invalid(String),
}

/// Why a schema was not registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// It breaks the subject's compatibility.
    #[error("the schema is incompatible with the subject's earlier ones: {message}")]
    Incompatible {
        /// The registry's own words.
        message: String,
    },
    /// The registry finds the request wrong.
    #[error("the schema registry refuses: {0}")]
    Refused(String),
    /// The registry did not answer as one; try again.
    #[error("the schema registry cannot be asked now: {0}")]
    Transient(String),
}

/// A client of the registry. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RegistryClient {
    http: reqwest::Client,
    /// Without user information.
    base: Url,
    credentials: Option<(String, SecretString)>,
    /// The schema registered last, or [`NOTHING`].
    registered: Arc<AtomicI32>,
}

/// No schema: ids begin with 1.
const NOTHING: i32 = 0;

#[derive(Deserialize)]
struct Registered {
    id: i32,
}

#[derive(Deserialize)]
struct Found {
    schema: String,
    #[serde(rename = "schemaType")]
    schema_type: Option<String>,
    #[serde(default)]
    references: Option<Vec<serde_json::Value>>,
}

#[derive(Deserialize)]
struct Refusal {
    error_code: Option<i64>,
    message: Option<String>,
}

struct Answer {
    status: StatusCode,
    body: Vec<u8>,
}

impl RegistryClient {
    /// A client of the configured registry, each request bounded by five seconds.
    ///
    /// # Errors
    /// What is wrong with the URL, without the URL.
    pub fn connect(config: &KafkaConfig) -> Result<Self, String> {
        Self::new(config.registry_url.expose_secret(), Duration::from_secs(5))
    }

    /// A client for the API at `url`; user information in it becomes basic
    /// authentication. `timeout` bounds each request as a whole.
    ///
    /// # Errors
    /// What is wrong with the URL, without the URL.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, String> {
        let mut base = Url::parse(url).map_err(|error| error.to_string())?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err("must begin with http:// or https://".to_owned());
        }
        let credentials = credentials(&base)?;
        if base.set_username("").is_err() || base.set_password(None).is_err() {
            return Err("has no host".to_owned());
        }
        let http = reqwest::Client::builder()
            .timeout(timeout)
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            http,
            base,
            credentials,
            registered: Arc::new(AtomicI32::new(NOTHING)),
        })
    }

    /// Registers an Avro schema under a subject, or finds it there.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub async fn register(&self, subject: &str, schema: &str) -> Result<i32, RegisterError> {
        let body = json!({ "schema": schema, "schemaType": "AVRO" });
        let path = ["subjects", subject, "versions"];
        let answer = self.ask(Method::POST, &path, Some(body.clone())).await;
        let mut answer = answer.map_err(RegisterError::Transient)?;
        if answer.status == StatusCode::CONFLICT {
            // Said of schemas that are not compatible, and by some registries of one that is
            // there already when several register it at once.
            let path = ["subjects", subject];
            let found = self.ask(Method::POST, &path, Some(body)).await;
            let found = found.map_err(RegisterError::Transient)?;
            if found.status.is_success() {
                answer = found;
            }
        }
        let answer = answer.for_registration()?;
        let registered: Registered = serde_json::from_slice(&answer.body).map_err(|error| {
            RegisterError::Transient(format!("an answer without an id: {error}"))
        })?;
        self.registered.store(registered.id, Ordering::Relaxed);
        Ok(registered.id)
    }

    /// The id of the schema that this client, or a clone of it, registered last.
    fn registered(&self) -> Option<i32> {
        let id = self.registered.load(Ordering::Relaxed);
        (id != NOTHING).then_some(id)
    }

    /// Sets a subject's compatibility, such as `BACKWARD_TRANSITIVE`.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub async fn set_compatibility(&self, subject: &str, level: &str) -> Result<(), RegisterError> {
        let body = json!({ "compatibility": level });
        let answer = self
            .ask(Method::PUT, &["config", subject], Some(body))
            .await;
        let answer = answer.map_err(RegisterError::Transient)?;
        if answer.status == StatusCode::CONFLICT {
            // Somebody else does the same at this moment.
            return Err(RegisterError::Transient(answer.status.to_string()));
        }
        answer.for_registration()?;
        Ok(())
    }

    /// An Avro schema's text by its id.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub async fn schema_by_id(&self, id: i32) -> Result<Arc<str>, LookupError> {
        self.schema(&["schemas", "ids", &id.to_string()], false)
            .await
    }

    /// An Avro schema's text by its GUID. A registry without GUIDs answers 404,
    /// which counts as not found.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub async fn schema_by_guid(&self, guid: Uuid) -> Result<Arc<str>, LookupError> {
        self.schema(&["schemas", "guids", &guid.to_string()], true)
            .await
    }

    /// Whether the registry answers a list of schema types.
    pub async fn healthy(&self) -> bool {
        let answer = self.ask(Method::GET, &["schemas", "types"], None).await;
        answer.is_ok_and(|answer| answer.status.is_success())
    }

    async fn schema(
        &self,
        path: &[&str],
        endpoint_optional: bool,
    ) -> Result<Arc<str>, LookupError> {
        let answer = self.ask(Method::GET, path, None).await;
        answer
            .map_err(LookupError::Transient)?
            .schema(endpoint_optional)
    }

    async fn ask(
        &self,
        method: Method,
        path: &[&str],
        body: Option<serde_json::Value>,
    ) -> Result<Answer, String> {
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut segments) => segments.pop_if_empty().extend(path),
            Err(()) => return Err("its URL has no host".to_owned()),
        };
        let mut request = self
            .http
            .request(method, url)
            .header("accept", CONTENT_TYPE);
        if let Some((user, password)) = &self.credentials {
            request = request.basic_auth(user, Some(password.expose_secret()));
        }
        if let Some(body) = body {
            request = request
                .header("content-type", CONTENT_TYPE)
                .body(body.to_string());
        }
        // Without the URL: a query or a proxy may put secrets there.
        let told = |error: reqwest::Error| describe(&error.without_url());
        let mut response = request.send().await.map_err(told)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(told)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(format!("an answer of more than {MAX_ANSWER} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
    }
}

/// An error with its causes: reqwest's own text says little.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

fn credentials(url: &Url) -> Result<Option<(String, SecretString)>, String> {
    let decode = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8()
            .map(|text| text.into_owned())
            .map_err(|_| "its user information is not UTF-8".to_owned())
    };
    if url.username().is_empty() {
        return Ok(None);
    }
    let password = decode(url.password().unwrap_or_default())?;
    Ok(Some((decode(url.username())?, password.into())))
}

impl Answer {
    fn refusal(&self) -> Refusal {
        serde_json::from_slice(&self.body).unwrap_or(Refusal {
            error_code: None,
            message: None,
        })
    }

    fn for_registration(self) -> Result<Self, RegisterError> {
        let message = || {
            let message = self.refusal().message;
            message.unwrap_or_else(|| self.status.to_string())
        };
        match self.status {
            status if status.is_success() => Ok(self),
            StatusCode::CONFLICT => Err(RegisterError::Incompatible { message: message() }),
            status if is_transient(status) => Err(RegisterError::Transient(message())),
            _ => Err(RegisterError::Refused(message())),
        }
    }

    /// A record is dead-lettered for [`LookupError::NotFound`] and
    /// [`LookupError::Invalid`], so both need the registry's own word: a 404
    /// without its error code comes from a wrong path or a proxy.
    fn schema(self, endpoint_optional: bool) -> Result<Arc<str>, LookupError> {
        if self.status == StatusCode::NOT_FOUND {
            // Confluent's own server says 404 for an unknown path, 40403 for an unknown schema.
            let said_so = self
                .refusal()
                .error_code
                .is_some_and(|code| (40_400..40_500).contains(&code));
            return Err(if said_so || endpoint_optional {
                LookupError::NotFound
            } else {
                LookupError::Transient("404 without an error code: is its URL right?".to_owned())
            });
        }
        if !self.status.is_success() {
            return Err(LookupError::Transient(self.status.to_string()));
        }
        let found: Found = serde_json::from_slice(&self.body).map_err(|error| {
            LookupError::Transient(format!("an answer without a schema: {error}"))
        })?;
        match found.schema_type.as_deref() {
            None | Some("AVRO") => {}
            Some(other) => return Err(LookupError::Invalid(format!("it is {other}, not AVRO"))),
        }
        if found
            .references
            .is_some_and(|references| !references.is_empty())
        {
            return Err(LookupError::Invalid(
                "it refers to other schemas".to_owned(),
            ));
        }
        Ok(found.schema.into())
    }
}

/// Answers that say nothing about the request itself. Permissions count: they
/// are mended at the registry, and no record must suffer meanwhile.
fn is_transient(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS
                | StatusCode::REQUEST_TIMEOUT
                | StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
        )
}

#[cfg(test)]
mod tests;
