//! What a bearer token must hold to be believed, and where the keys come from.

use std::time::Duration;

use jsonwebtoken::{Algorithm, AlgorithmFamily};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::Env;

/// The least bytes of `JWT_SECRET`: the output size of SHA-256, as RFC 7518
/// section 3.2 demands of a key for HS256.
pub const JWT_SECRET_MIN_BYTES: usize = 32;

const SECRET_ALGORITHMS: &str = "HS256";
const JWKS_ALGORITHMS: &str = "RS256,ES256,EdDSA";

/// What a bearer token must hold to be believed. `Debug` hides the secret.
#[derive(Debug, Clone)]
pub struct JwtConfig {
    /// Where the keys come from: `JWT_SECRET` or `JWT_JWKS_URL`, exactly one of them.
    pub keys: JwtKeys,
    /// `JWT_ALGORITHMS`, separated by commas: the algorithms that are accepted, whatever a
    /// token's header says. Default and only choice with a secret `HS256`; with a key set
    /// `RS256,ES256,EdDSA`, and RS384, RS512, PS256, PS384, PS512, ES384 if named.
    pub algorithms: Vec<Algorithm>,
    /// `JWT_ISSUER`, default `flowmeter`: the `iss` that is accepted.
    pub issuer: String,
    /// `JWT_AUDIENCE`, default `flowmeter`: the `aud` that is accepted.
    pub audience: String,
    /// How far clocks may differ when `exp` and `nbf` are looked at: 30 s.
    pub leeway: Duration,
}

/// Where the keys come from that tokens are verified with.
#[derive(Debug, Clone)]
pub enum JwtKeys {
    /// `JWT_SECRET`, at least [`JWT_SECRET_MIN_BYTES`] bytes, shared with who issues tokens.
    Secret(SecretString),
    /// Public keys of an issuer.
    Jwks(JwksConfig),
}

/// A JSON Web Key Set (RFC 7517) that changes over time.
#[derive(Debug, Clone)]
pub struct JwksConfig {
    /// `JWT_JWKS_URL`: `https:`, `http:`, or `file:` with an absolute path.
    pub url: Url,
    /// `JWT_JWKS_REFRESH_SECONDS`, default 300: how old the set may become, and so how long
    /// a removed key is still accepted.
    pub refresh: Duration,
    /// `JWT_JWKS_COOLDOWN_MS`, default 10 000: the least time between two reads of the set,
    /// however many tokens name unknown keys; and the time between attempts in an outage.
    pub cooldown: Duration,
    /// How long one read may take: 5 s.
    pub timeout: Duration,
}

impl JwtConfig {
    /// Reads the section.
    pub fn from_env(env: &mut Env) -> Self {
        let keys = keys(env);
        let algorithms = algorithms(env, &keys);
        Self {
            keys,
            algorithms,
            issuer: env.text("JWT_ISSUER", "flowmeter"),
            audience: env.text("JWT_AUDIENCE", "flowmeter"),
            leeway: Duration::from_secs(30),
        }
    }
}

fn keys(env: &mut Env) -> JwtKeys {
    let secret = secret(env);
    let jwks = jwks(env);
    let url_is_set = env.optional("JWT_JWKS_URL").is_some();
    match (&secret, url_is_set) {
        (Some(_), true) => env.fault(
            "JWT_JWKS_URL",
            "must not be set together with JWT_SECRET: tokens have one source of keys",
        ),
        (None, false) => env.fault("JWT_SECRET", "is required, or JWT_JWKS_URL in its place"),
        _ => {}
    }
    match jwks {
        Some(jwks) => JwtKeys::Jwks(jwks),
        None => JwtKeys::Secret(secret.unwrap_or_default()),
    }
}

fn secret(env: &mut Env) -> Option<SecretString> {
    let secret = env.secret("JWT_SECRET")?;
    let length = secret.expose_secret().len();
    if length < JWT_SECRET_MIN_BYTES {
        env.fault(
            "JWT_SECRET",
            format!("must have at least {JWT_SECRET_MIN_BYTES} bytes (got {length})"),
        );
    }
    Some(secret)
}

fn jwks(env: &mut Env) -> Option<JwksConfig> {
    let day = Duration::from_secs(86_400);
    let refresh = env.seconds(
        "JWT_JWKS_REFRESH_SECONDS",
        Duration::from_secs(300),
        Duration::from_secs(1)..=day,
    );
    let cooldown = env.millis(
        "JWT_JWKS_COOLDOWN_MS",
        Duration::from_secs(10),
        Duration::from_millis(100)..=day,
    );
    env.optional("JWT_JWKS_URL")?;
    let url = env.parsed("JWT_JWKS_URL", "", source)?;
    Some(JwksConfig {
        url,
        refresh,
        cooldown,
        timeout: Duration::from_secs(5),
    })
}

fn source(text: &str) -> Result<Url, &'static str> {
    const FORM: &str = "must be a URL of scheme https, http or file";
    let url = Url::parse(text).map_err(|_| FORM)?;
    match url.scheme() {
        // It would be sent in the clear, and shown by whoever shows the URL.
        _ if !url.username().is_empty() || url.password().is_some() => {
            Err("must not hold a user or a password")
        }
        "http" | "https" => Ok(url),
        "file" if url.to_file_path().is_ok() => Ok(url),
        "file" => Err("must hold an absolute path, as file:///etc/flowmeter/jwks.json does"),
        _ => Err(FORM),
    }
}

fn algorithms(env: &mut Env, keys: &JwtKeys) -> Vec<Algorithm> {
    let secret = matches!(keys, JwtKeys::Secret(_));
    let default = if secret {
        SECRET_ALGORITHMS
    } else {
        JWKS_ALGORITHMS
    };
    let algorithms = env.parsed("JWT_ALGORITHMS", default, |text| {
        text.split(',')
            .map(|name| algorithm(name.trim(), secret))
            .collect::<Result<_, _>>()
    });
    algorithms.unwrap_or_default()
}

fn algorithm(name: &str, secret: bool) -> Result<Algorithm, &'static str> {
    let algorithm = name
        .parse::<Algorithm>()
        .map_err(|_| "must be algorithms of RFC 7518 or EdDSA, separated by commas")?;
    let symmetric = algorithm.family() == AlgorithmFamily::Hmac;
    match (secret, symmetric) {
        (true, _) if algorithm != Algorithm::HS256 => Err("must be HS256 with JWT_SECRET"),
        // A public key that were taken for a secret would let everybody sign.
        (false, true) => Err("must not name HS256, HS384 or HS512 with JWT_JWKS_URL"),
        _ => Ok(algorithm),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn read(pairs: &[(&str, &str)]) -> (JwtConfig, Option<String>) {
        let mut env = Env::from_pairs(pairs.iter().copied());
        let config = JwtConfig::from_env(&mut env);
        (config, env.finish().err().map(|faults| faults.to_string()))
    }

    fn faults(pairs: &[(&str, &str)]) -> String {
        read(pairs).1.unwrap_or_default()
    }

    #[test]
    fn a_secret_means_hs256_and_nothing_else() {
        let (config, faults) = read(&[("JWT_SECRET", SECRET)]);
        assert_eq!(faults, None);
        assert!(matches!(config.keys, JwtKeys::Secret(_)));
        assert_eq!(config.algorithms, [Algorithm::HS256]);
        assert_eq!(
            (config.issuer.as_str(), config.audience.as_str()),
            ("flowmeter", "flowmeter")
        );
        assert!(!format!("{config:?}").contains(SECRET));
    }

    #[test]
    fn a_key_set_has_defaults_that_are_documented() {
        for url in [
            "https://issuer.example/jwks.json?p=x",
            "http://issuer:8080/keys",
            "file:///etc/flowmeter/jwks.json",
        ] {
            let (config, faults) = read(&[("JWT_JWKS_URL", url)]);
            assert_eq!(faults, None);
            let JwtKeys::Jwks(jwks) = config.keys else {
                panic!("{url} is not taken");
            };
            assert_eq!(jwks.url.as_str(), url);
            assert_eq!(jwks.cooldown, Duration::from_secs(10));
            assert_eq!(jwks.refresh, Duration::from_secs(300));
            assert_eq!(
                config.algorithms,
                [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]
            );
        }
    }

    #[test]
    fn keys_have_exactly_one_source() {
        let url = ("JWT_JWKS_URL", "https://issuer.example/keys");
        assert_eq!(
            faults(&[]),
            "JWT_SECRET: is required, or JWT_JWKS_URL in its place"
        );
        assert!(
            faults(&[("JWT_SECRET", SECRET), url]).starts_with("JWT_JWKS_URL: must not be set")
        );
    }

    #[test]
    fn all_faults_of_the_section_come_together_and_tell_no_secret() {
        let faults = faults(&[
            ("JWT_SECRET", "too short"),
            ("JWT_JWKS_URL", "ftp://issuer/keys"),
            ("JWT_JWKS_COOLDOWN_MS", "0"),
            ("JWT_JWKS_REFRESH_SECONDS", "x"),
            ("JWT_ALGORITHMS", "RS257"),
        ]);
        let lines: Vec<_> = faults.lines().collect();
        assert_eq!(lines.len(), 6, "{faults}");
        assert!(!faults.contains("too short"));
    }

    #[test]
    fn a_source_that_cannot_be_read_is_refused() {
        for url in [
            "issuer.example",
            "/etc/jwks.json",
            "file://etc/jwks.json",
            "https://",
            "data:,x",
            "https://user:hush@issuer.example/keys",
        ] {
            let faults = faults(&[("JWT_JWKS_URL", url)]);
            assert!(faults.starts_with("JWT_JWKS_URL: must"), "{url}: {faults}");
            assert!(!faults.contains("hush"), "{faults}");
        }
    }

    #[test]
    fn an_algorithm_fits_the_source_of_the_keys() {
        let secret = ("JWT_SECRET", SECRET);
        let url = ("JWT_JWKS_URL", "https://issuer.example/keys");
        let (config, none) = read(&[url, ("JWT_ALGORITHMS", "PS256, ES384")]);
        assert_eq!(none, None);
        assert_eq!(config.algorithms, [Algorithm::PS256, Algorithm::ES384]);
        for (source, names) in [
            (secret, "RS256"),
            (secret, "HS256,HS512"),
            (url, "RS256,HS256"),
            (url, "none"),
            (url, "rs256"),
            (url, "RS256,"),
        ] {
            let faults = faults(&[source, ("JWT_ALGORITHMS", names)]);
            assert!(faults.starts_with("JWT_ALGORITHMS: must"), "{names}");
        }
    }
}
