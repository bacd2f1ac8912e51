//! Where a key set is read from: a URL or a file.

use std::{fmt, fs::File, io::Read, path::PathBuf, time::Duration};

use anyhow::{Context, anyhow, bail, ensure};
use reqwest::redirect;
use tokio::{task::spawn_blocking, time::timeout};
use tracing::warn;
use url::{Host, Url};

use crate::config::JwksConfig;

/// The most bytes of a key set: one of ten RSA keys with certificates has some 30 KiB.
const MAX_SET_BYTES: usize = 1 << 20;

/// A key set that can be read again and again.
#[derive(Debug)]
pub(super) struct KeySource {
    place: Place,
    timeout: Duration,
}

#[derive(Debug)]
enum Place {
    Url { http: reqwest::Client, url: Url },
    File(PathBuf),
}

impl KeySource {
    /// # Errors
    /// When the HTTP client cannot be made, or the URL is none that the configuration takes.
    pub(super) fn new(config: &JwksConfig) -> anyhow::Result<Self> {
        let url = config.url.clone();
        let place = if url.scheme() == "file" {
            let path = url.to_file_path();
            Place::File(path.map_err(|()| anyhow!("JWT_JWKS_URL holds no path"))?)
        } else {
            // Keys must come from where the operator said, and nowhere that place points to.
            let http = reqwest::Client::builder()
                .redirect(redirect::Policy::none())
                .build()
                .context("the HTTP client for JWT_JWKS_URL")?;
            if url.scheme() == "http" && !is_loopback(&url) {
                warn!("JWT_JWKS_URL is not https: who is on the way can replace the keys");
            }
            Place::Url { http, url }
        };
        Ok(Self {
            place,
            timeout: config.timeout,
        })
    }

    /// The set's text as it is now.
    ///
    /// # Errors
    /// When it cannot be had within the timeout, or is larger than any key set.
    pub(super) async fn read(&self) -> anyhow::Result<Vec<u8>> {
        let read = async {
            match &self.place {
                Place::Url { http, url } => get(http, url.clone()).await,
                Place::File(path) => {
                    let path = path.clone();
                    spawn_blocking(move || read_file(&path)).await?
                }
            }
        };
        let waited = timeout(self.timeout, read).await;
        waited.map_err(|_| anyhow!("no answer within {:?}", self.timeout))?
    }
}

impl fmt::Display for KeySource {
    /// Without the query, which may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Url { url, .. } => {
                write!(f, "{}{}", url.origin().ascii_serialization(), url.path())
            }
            Place::File(path) => path.display().fmt(f),
        }
    }
}

async fn get(http: &reqwest::Client, url: Url) -> anyhow::Result<Vec<u8>> {
    let told = reqwest::Error::without_url;
    let mut response = http.get(url).send().await.map_err(told)?;
    let status = response.status();
    ensure!(status.is_success(), "it answers {status}");
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(told)? {
        ensure!(body.len() + chunk.len() <= MAX_SET_BYTES, "it is too large");
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn read_file(path: &PathBuf) -> anyhow::Result<Vec<u8>> {
    // Opening a pipe would wait for its writer, for ever.
    if !path.metadata()?.is_file() {
        bail!("it is no file");
    }
    let mut body = Vec::new();
    let most = u64::try_from(MAX_SET_BYTES + 1)?;
    File::open(path)?.take(most).read_to_end(&mut body)?;
    ensure!(body.len() <= MAX_SET_BYTES, "it is too large");
    Ok(body)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
