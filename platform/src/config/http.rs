//! The sections of HTTP: where a service listens, whom it lets in, and how much at once.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use url::Url;

use super::Env;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Where a service listens, and how long it waits for its clients.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// `HOST`, default 127.0.0.1: who is to be reached from outside says so.
    pub host: IpAddr,
    /// `PORT`, default 3000; 0 picks a free one.
    pub port: u16,
    /// `HEADER_TIMEOUT_MS`, default 30 000: how long a connection may take to
    /// send a request's head. A connection kept alive may idle as long.
    pub header_timeout: Duration,
    /// `REQUEST_TIMEOUT_MS`, default 30 000: from a request's head to the
    /// answer's head. A streamed answer may take longer.
    pub request_timeout: Duration,
    /// `WRITE_TIMEOUT_MS`, default 60 000: how long a client may take nothing of what is
    /// sent to it. One that takes little, and goes on, is waited for.
    pub write_timeout: Duration,
    /// `MAX_CONNECTIONS`, default 4096: more wait in the listen queue.
    pub max_connections: usize,
    /// `CORS_ORIGINS`, default none: whose pages may call from a browser.
    pub cors: Option<CorsOrigins>,
    /// `HSTS_MAX_AGE_SECONDS`, default none: how long browsers are to insist on HTTPS. For
    /// the one who terminates TLS to decide; the service itself speaks plain HTTP.
    pub hsts_max_age: Option<Duration>,
}

impl HttpConfig {
    /// Reads the section.
    pub fn from_env(env: &mut Env) -> Self {
        let wait = Duration::from_millis(10)..=Duration::from_secs(3600);
        Self {
            host: address(env, "HOST", LOCALHOST),
            port: env.number("PORT", 3000, 0..=u16::MAX),
            header_timeout: env.millis("HEADER_TIMEOUT_MS", Duration::from_secs(30), wait.clone()),
            request_timeout: env.millis(
                "REQUEST_TIMEOUT_MS",
                Duration::from_secs(30),
                wait.clone(),
            ),
            write_timeout: env.millis("WRITE_TIMEOUT_MS", Duration::from_secs(60), wait),
            max_connections: env.number("MAX_CONNECTIONS", 4096, 1..=1_000_000),
            cors: cors_origins(env),
            hsts_max_age: hsts_max_age(env),
        }
    }
}

/// Whose pages may call from a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CorsOrigins {
    /// `*`: everybody's.
    Any,
    /// Those of these origins, such as `https://app.example`, and no others.
    List(Vec<String>),
}

fn cors_origins(env: &mut Env) -> Option<CorsOrigins> {
    env.optional("CORS_ORIGINS")?;
    env.parsed("CORS_ORIGINS", "", |value| {
        if value == "*" {
            return Ok(CorsOrigins::Any);
        }
        let origins: Vec<_> = value.split(',').map(str::trim).collect();
        if origins.iter().all(|origin| is_origin(origin)) {
            Ok(CorsOrigins::List(
                origins.into_iter().map(str::to_owned).collect(),
            ))
        } else {
            Err("must be * or origins separated by commas, each as a browser sends it: https://app.example, without a path or a slash at the end")
        }
    })
}

/// Whether a browser would send exactly this text as `Origin`.
fn is_origin(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text
    })
}

fn hsts_max_age(env: &mut Env) -> Option<Duration> {
    env.optional("HSTS_MAX_AGE_SECONDS")?;
    let longest = Duration::from_secs(63_072_000);
    Some(env.seconds(
        "HSTS_MAX_AGE_SECONDS",
        Duration::ZERO,
        Duration::ZERO..=longest,
    ))
}

/// How much a service takes in at once, and how long it waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IntakeConfig {
    /// `BODY_TIMEOUT_MS`, below `REQUEST_TIMEOUT_MS`; default half of that, at most 10 s: how
    /// long a body may take to arrive.
    pub body_timeout: Duration,
    /// `MAX_REQUESTS_IN_FLIGHT`, default 1024: more are answered with 503.
    pub max_requests: usize,
    /// `MAX_BYTES_IN_FLIGHT`, default 64 MiB: memory for bodies that are read, decoded and
    /// on their way to the broker; what would need more is answered with 503.
    pub max_bytes: usize,
}

impl IntakeConfig {
    /// Reads the section.
    pub fn from_env(env: &mut Env) -> Self {
        let request_timeout = HttpConfig::from_env(env).request_timeout;
        let shortest = Duration::from_millis(10);
        let default = (request_timeout / 2).clamp(shortest, Duration::from_secs(10));
        let body_timeout = env.millis(
            "BODY_TIMEOUT_MS",
            default,
            shortest..=Duration::from_secs(3600),
        );
        // Otherwise a slow client would be told that we were slow.
        if body_timeout >= request_timeout {
            env.fault("BODY_TIMEOUT_MS", "must be less than REQUEST_TIMEOUT_MS");
        }
        Self {
            body_timeout,
            max_requests: env.number("MAX_REQUESTS_IN_FLIGHT", 1024, 1..=1_000_000),
            // At least what one batch of the largest size needs.
            max_bytes: env.number("MAX_BYTES_IN_FLIGHT", 64 << 20, 32 << 20..=1 << 40),
        }
    }
}

/// Where `/metrics` and the health checks are served, apart from users.
#[derive(Debug, Clone)]
pub struct AdminConfig {
    /// `ADMIN_HOST`, default that of `HOST`.
    pub host: IpAddr,
    /// `ADMIN_PORT`, default 9100; 0 picks a free one.
    pub port: u16,
}

impl AdminConfig {
    /// Reads the section.
    pub fn from_env(env: &mut Env) -> Self {
        let host = address(env, "HOST", LOCALHOST);
        Self {
            host: address(env, "ADMIN_HOST", host),
            port: env.number("ADMIN_PORT", 9100, 0..=u16::MAX),
        }
    }

    /// What the HTTP server needs for the admin port.
    #[must_use]
    pub fn http(&self) -> HttpConfig {
        HttpConfig {
            host: self.host,
            port: self.port,
            header_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            max_connections: 64,
            cors: None,
            hsts_max_age: None,
        }
    }
}

fn address(env: &mut Env, name: &str, default: IpAddr) -> IpAddr {
    env.parsed(name, &default.to_string(), |value| match value {
        // What people write; the listener itself needs an address.
        "localhost" => Ok(LOCALHOST),
        _ => value
            .parse()
            .map_err(|_| "must be an IP address, such as 127.0.0.1 or 0.0.0.0"),
    })
    .unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_variables_the_documented_defaults_hold() {
        let mut env = Env::from_pairs([("PORT", "")]);
        let http = HttpConfig::from_env(&mut env);
        assert_eq!((http.host, http.port), (LOCALHOST, 3000));
        assert_eq!(http.request_timeout, Duration::from_secs(30));
        assert_eq!((http.cors, http.hsts_max_age), (None, None));
        let intake = IntakeConfig {
            body_timeout: Duration::from_secs(10),
            max_requests: 1024,
            max_bytes: 64 << 20,
        };
        assert_eq!(IntakeConfig::from_env(&mut env), intake);
        assert_eq!(AdminConfig::from_env(&mut env).port, 9100);
        env.finish().unwrap();
    }

    #[test]
    fn the_admin_port_listens_where_the_service_does() {
        let mut env = Env::from_pairs([("HOST", "0.0.0.0")]);
        assert_eq!(AdminConfig::from_env(&mut env).host.to_string(), "0.0.0.0");
        let mut env = Env::from_pairs([("HOST", "0.0.0.0"), ("ADMIN_HOST", "::1")]);
        assert_eq!(AdminConfig::from_env(&mut env).host.to_string(), "::1");
    }

    #[test]
    fn origins_are_written_as_browsers_send_them() {
        let read = |value: &str| {
            let mut env = Env::from_pairs([("CORS_ORIGINS", value)]);
            let cors = HttpConfig::from_env(&mut env).cors;
            env.finish().map(|()| cors).map_err(|e| e.to_string())
        };
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("*"), Ok(Some(CorsOrigins::Any)));
        let two = ["https://app.example", "http://localhost:5173"].map(str::to_owned);
        assert_eq!(
            read("https://app.example, http://localhost:5173"),
            Ok(Some(CorsOrigins::List(two.to_vec())))
        );
        for odd in [
            "app.example",
            "https://app.example/",
            "https://App.example",
            "https://app.example:443",
            "https://a.example,*",
            "https://a.example,,https://b.example",
            "null",
            "file:///x",
        ] {
            assert!(read(odd).unwrap_err().contains("CORS_ORIGINS"), "{odd}");
        }
    }

    #[test]
    fn a_body_has_less_time_than_its_request() {
        let read = |pairs: &[(&str, &str)]| {
            let mut env = Env::from_pairs(pairs.iter().copied());
            let intake = IntakeConfig::from_env(&mut env);
            env.finish().map(|()| intake).map_err(|e| e.to_string())
        };
        let short = read(&[("REQUEST_TIMEOUT_MS", "4000")]).unwrap();
        assert_eq!(short.body_timeout, Duration::from_secs(2));
        let fault = read(&[("BODY_TIMEOUT_MS", "30000"), ("MAX_BYTES_IN_FLIGHT", "1")]);
        let fault = fault.unwrap_err();
        assert!(fault.contains("BODY_TIMEOUT_MS") && fault.contains("MAX_BYTES_IN_FLIGHT"));
    }
}
