//! Compiled schemas by reference, asked for once.
//!
//! A schema never changes, so what was found, or found useless, is kept. What was
//! not found is kept for a short time only. A lookup costs a token that is given
//! back unless the registry knew nothing: real schemas come at any pace, while a
//! flood of invented ids reaches the registry at a fixed rate, and the callers
//! wait.
//!
//! Admission is a function of the log, and "not found" is not: an id unknown now
//! may be registered later, and two consumers may ask at either side of that.
//! Producers register before they write, so this concerns garbage only; still, a
//! consumer that depends on another's verdict must take it from the log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::runtime::Handle;

use super::limits::{Bounded, TokenBucket};
use super::{LookupError, RegistryClient, SchemaRef, SettledRegistry};

/// Bounds of a [`SchemaCache`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// Schemas kept.
    pub schemas: usize,
    /// References kept of which the registry knew nothing.
    pub unknown: usize,
    /// How long those are believed.
    pub unknown_lifetime: Duration,
    /// Lookups of unknown references per second.
    pub unknown_per_second: u32,
    /// Longest wait for such a lookup's turn, after which it counts as transient.
    pub longest_wait: Duration,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            schemas: 1000,
            unknown: 10_000,
            unknown_lifetime: Duration::from_secs(30),
            unknown_per_second: 50,
            longest_wait: Duration::from_secs(5),
        }
    }
}

/// Whether a registry is believed that says that there is no such schema. Where it is not,
/// that counts as transient.
#[derive(Clone, Debug)]
pub enum Unknown {
    /// Never: every schema that is asked for is known to exist.
    Doubted,
    /// Once the registry is settled.
    BelievedOf(SettledRegistry),
    /// At once.
    #[cfg(test)]
    Believed,
}

impl Unknown {
    async fn is_believed(&self) -> bool {
        match self {
            Self::Doubted => false,
            Self::BelievedOf(registry) => registry.is_settled().await,
            #[cfg(test)]
            Self::Believed => true,
        }
    }
}

type Looked<T> = Result<Arc<T>, LookupError>;
type Parse<T> = dyn Fn(&str) -> Result<T, String> + Send + Sync;

/// See the module's text. Cheap to clone; all clones share one cache.
pub struct SchemaCache<T> {
    inner: Arc<Inner<T>>,
}

impl<T> Clone for SchemaCache<T> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
        }
    }
}

struct Inner<T> {
    client: RegistryClient,
    unknown: Unknown,
    parse: Box<Parse<T>>,
    unknown_lifetime: Duration,
    longest_wait: Duration,
    state: Mutex<State<T>>,
}

struct State<T> {
    /// Found, and either compiled or useless for ever.
    known: Bounded<SchemaRef, Looked<T>>,
    /// Since when.
    unknown: Bounded<SchemaRef, Instant>,
    bucket: TokenBucket,
    in_flight: HashMap<SchemaRef, Shared<BoxFuture<'static, Looked<T>>>>,
}

impl<T: Send + Sync + 'static> SchemaCache<T> {
    /// A cache over `client`; `parse` compiles a schema's text, once per schema.
    pub fn new(
        client: RegistryClient,
        unknown: Unknown,
        settings: &CacheSettings,
        parse: impl Fn(&str) -> Result<T, String> + Send + Sync + 'static,
    ) -> Self {
        let state = State {
            known: Bounded::new(settings.schemas),
            unknown: Bounded::new(settings.unknown),
            bucket: TokenBucket::new(settings.unknown_per_second, Instant::now()),
            in_flight: HashMap::new(),
        };
        Self {
            inner: Arc::new(Inner {
                client,
                unknown,
                parse: Box::new(parse),
                unknown_lifetime: settings.unknown_lifetime,
                longest_wait: settings.longest_wait,
                state: Mutex::new(state),
            }),
        }
    }

    /// The compiled schema.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub async fn get(&self, reference: SchemaRef) -> Result<Arc<T>, LookupError> {
        if let Some(cached) = self.inner.cached(reference) {
            return cached;
        }
        self.lookup(reference).await
    }

    /// The same for a thread outside the runtime. What is cached costs no
    /// detour through it.
    ///
    /// # Errors
    /// See [`LookupError`].
    ///
    /// # Panics
    /// When called on a thread of the runtime.
    pub fn get_blocking(
        &self,
        runtime: &Handle,
        reference: SchemaRef,
    ) -> Result<Arc<T>, LookupError> {
        if let Some(cached) = self.inner.cached(reference) {
            return cached;
        }
        runtime.block_on(self.lookup(reference))
    }

    /// One lookup for all who ask meanwhile. It runs as a task of its own, so
    /// that a caller that gives up takes nobody's answer away.
    async fn lookup(&self, reference: SchemaRef) -> Looked<T> {
        let shared = {
            let mut state = self.inner.state();
            let running = state.in_flight.get(&reference).cloned();
            running.unwrap_or_else(|| {
                let task = tokio::spawn(self.inner.clone().run(reference));
                let shared = task
                    .map(|looked| {
                        looked
                            .unwrap_or_else(|error| Err(LookupError::Transient(error.to_string())))
                    })
                    .boxed()
                    .shared();
                state.in_flight.insert(reference, shared.clone());
                shared
            })
        };
        shared.await
    }
}

impl<T> Inner<T> {
    async fn run(self: Arc<Self>, reference: SchemaRef) -> Looked<T> {
        // Also when the compiler of the schema panics.
        let _landing = Landing {
            inner: &self,
            reference,
        };
        // Another lookup may have ended between the caller's look and ours.
        if let Some(cached) = self.cached(reference) {
            return cached;
        }
        let Some(wait) = self.state().bucket.take(Instant::now(), self.longest_wait) else {
            return Err(LookupError::Transient(
                "too many unknown schemas are being asked for".to_owned(),
            ));
        };
        tokio::time::sleep(wait).await;
        let text = match reference {
            SchemaRef::Id(id) => self.client.schema_by_id(id).await,
            SchemaRef::Guid(guid) => self.client.schema_by_guid(guid).await,
        };
        let looked = match text {
            Ok(text) => {
                let parsed = (self.parse)(&text);
                parsed.map(Arc::new).map_err(LookupError::Invalid)
            }
            Err(error @ LookupError::NotFound) if !self.unknown.is_believed().await => {
                let message = format!("it says \"{error}\", and may not have read all of them yet");
                Err(LookupError::Transient(message))
            }
            Err(error) => Err(error),
        };
        self.keep(reference, &looked);
        looked
    }

    fn cached(&self, reference: SchemaRef) -> Option<Looked<T>> {
        let mut state = self.state();
        if let Some(known) = state.known.get(&reference) {
            return Some(known);
        }
        // The clock is not read for what is known: every record comes by here.
        let since = state.unknown.get(&reference)?;
        (since.elapsed() < self.unknown_lifetime).then_some(Err(LookupError::NotFound))
    }

    fn keep(&self, reference: SchemaRef, looked: &Looked<T>) {
        let mut state = self.state();
        match looked {
            Ok(_) | Err(LookupError::Invalid(_)) => {
                state.bucket.give_back();
                state.known.insert(reference, looked.clone());
            }
            Err(LookupError::NotFound) => state.unknown.insert(reference, Instant::now()),
            Err(LookupError::Transient(_)) => state.bucket.give_back(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a lookup off the list of those under way, however it ends.
struct Landing<'a, T> {
    inner: &'a Inner<T>,
    reference: SchemaRef,
}

impl<T> Drop for Landing<'_, T> {
    fn drop(&mut self) {
        self.inner.state().in_flight.remove(&self.reference);
    }
}
